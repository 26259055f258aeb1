"""What is described to machines is what the gateway sends, with the unit and range of every field."""

import copy
import gzip
import json
import re
from datetime import date
from pathlib import Path
from typing import Any, Final, get_origin, get_type_hints

import pytest
from jsonschema import Draft7Validator

from spymaster_client import contract
from src.gateway.close_codes import OWN_CLOSE_CODES
from src.gateway.descriptions.__main__ import DESCRIPTIONS, ROOT, drifted, write
from src.gateway.descriptions.asyncapi import asyncapi
from src.gateway.descriptions.json_schema import json_schema
from src.gateway.descriptions.shape_schema import shape_schema
from src.gateway.descriptions.typed_dicts import TYPED_DICTS, Field, fields
from src.gateway.descriptions.typescript import field_descriptions_module, types_module
from src.gateway.history.client import HistoryClient
from src.gateway.http.app import make_app
from src.gateway.settings import Settings
from src.gateway.signals.shape import PARAMETERS
from src.gateway.socket_broadcaster import SocketBroadcaster
from src.simulator.pacing import CLOSE_S, PREMARKET_S, Moment
from src.simulator.session import Session
from tests.gateway.history.test_history_answer import T0, Entry, flow, level, levels, told
from tests.gateway.signals.normalizing import normalize, normalize_bytes

PAIRS: Final = sorted((ROOT / "backend" / "tests" / "contract").glob("*.json"))
RECORDED: Final = sorted((ROOT.parent / "shared" / "real").glob("*.jsonl.gz"))
SCHEMA: Final = json_schema()
FIELDS: Final = [(typed_dict, field) for typed_dict in TYPED_DICTS for field in fields(typed_dict)]


def strict() -> Any:
    """The schema, without room for a field that it does not name."""
    schema = copy.deepcopy(SCHEMA)
    for typed_dict in schema["definitions"].values():
        typed_dict["additionalProperties"] = False
    return schema


VALIDATOR: Final = Draft7Validator(strict())


def faults_of(payload: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(payload)]


def payload_of(levels: bytes, flow: Any) -> Any:
    """What a viewer gets of a message of each subject."""
    normalized = normalize_bytes(levels)
    viewport = {} if normalized.viewport is None else {"viewport": json.loads(bytes(normalized.viewport))}
    return json.loads(json.dumps({"flow": flow, "levels": normalized.levels})) | viewport


def name_of(case: Any) -> str:
    return case.name if isinstance(case, Field) else str(getattr(case, "__name__", case))


# -- drift -------------------------------------------------------------------------------------------------------------


def test_the_files_in_the_repository_are_what_the_code_says() -> None:
    assert drifted() == [], "run `make contract`"


def test_a_file_that_is_out_of_date_is_named_and_written_again(tmp_path: Path) -> None:
    assert drifted(tmp_path) == list(DESCRIPTIONS), "all are missing"
    write(tmp_path)
    assert drifted(tmp_path) == []
    for name in DESCRIPTIONS:
        (tmp_path / name).write_text((tmp_path / name).read_text() + " ")
    assert drifted(tmp_path) == list(DESCRIPTIONS)


# -- the schema and what is sent ---------------------------------------------------------------------------------------


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.stem)
def test_the_payloads_of_the_contract_are_valid(pair: Path) -> None:
    assert faults_of({"levels": json.loads(pair.read_text())["levels"]}) == []


@pytest.mark.parametrize("second", [PREMARKET_S, (PREMARKET_S + CLOSE_S) / 2, CLOSE_S - 1])
def test_what_comes_of_the_simulators_messages_is_valid(second: float) -> None:
    snapshot = Session(seed=5, first_date=date(2025, 3, 7), levels=40).snapshot(Moment(0, second))
    payload = payload_of(json.dumps(snapshot.levels).encode(), snapshot.flow)
    assert len(payload["levels"]["levels"]) == 40
    assert ("viewport" in payload) == (second > PREMARKET_S)
    assert faults_of(payload) == []


@pytest.mark.skipif(not RECORDED, reason="there are no recorded sessions beside this checkout")
def test_what_comes_of_recorded_messages_is_valid() -> None:
    for path in RECORDED:
        with gzip.open(path) as lines:
            for message in map(json.loads, lines):
                if message["subject"] == "levels.signals":
                    assert faults_of(payload_of(json.dumps(message["data"]).encode(), {})) == []


def test_an_answer_of_the_history_is_valid() -> None:
    of_history = Draft7Validator({**strict(), "allOf": [{"$ref": "#/definitions/History"}]})
    both: list[Entry] = [levels(1, T0, 690.0, level()), flow(2, T0), levels(3, T0 + 2000, 691.0, level(price=692.5))]
    answer = told(both)
    assert {"spy", "levels", "flow"} <= answer.keys()
    assert [error.message for error in of_history.iter_errors(answer)] == []
    answer["levels"][0]["score"][0] = 101
    assert [error.json_path for error in of_history.iter_errors(answer)] == ["$.levels[0].score[0]"]


def test_openapi_has_the_type_of_each_answer_of_the_past() -> None:
    broadcaster = SocketBroadcaster(settings=Settings(), history=HistoryClient("nowhere"))
    document = make_app(broadcaster).openapi()
    for path, name in (("/history", "History"), ("/events", "EventPage")):
        content = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        assert content["schema"] == {"$ref": f"#/components/schemas/{name}"}
    described = asyncapi()["components"]["schemas"]
    assert described.items() <= document["components"]["schemas"].items()


WRONG: Final[dict[str, tuple[str, Any]]] = {
    "a string for a number": ("level_price", "687.5"),
    "null for a number": ("level_price", None),
    "a fraction for a whole number": ("prior_touches", 1.5),
    "a number for a bool": ("sweep_detected", 1),
    "a number for a name": ("signal", 1),
    "a probability above 1": ("confluence_pressure", 1.01),
    "a score below 0": ("break_score_raw", -0.1),
    "more minutes than a day has after 09:30": ("bars_since_open", 870),
    "an integer that JavaScript rounds": ("tape_buy_vol", 2**53 + 1),
    "a field that there is not": ("price", 1.0),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_in_the_contract_is_not_valid(name: str) -> None:
    field, value = WRONG[name]
    level = dict(normalize({"levels": [{"id": "A"}]}).levels["levels"][0])
    levels = {"ts": 1, "spy": {"spot": None, "bid": None, "ask": None}, "levels": [level]}
    assert faults_of({"levels": levels}) == []
    level[field] = value
    assert faults_of({"levels": levels}) != []


@pytest.mark.parametrize(("typed_dict", "field"), FIELDS, ids=name_of)
def test_a_field_is_required_unless_it_may_be_absent(typed_dict: Any, field: Field) -> None:
    assert (field.name in SCHEMA["definitions"][typed_dict.__name__].get("required", [])) == field.required


# -- unit and range, all the way ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("typed_dict", "field"), FIELDS, ids=name_of)
def test_a_field_keeps_unit_and_range_in_schema_and_asyncapi(typed_dict: Any, field: Field) -> None:
    document = asyncapi()
    for home in (SCHEMA["definitions"], document["components"]["schemas"]):
        described = home[typed_dict.__name__]["properties"][field.name]
        assert described["description"] == str(field.description)
        described = described["items"] if get_origin(field.kind) is list else described
        assert described.get("x-unit", "") == field.description.unit
        assert described.get("x-known", []) == list(field.description.known)
        for key, bound in (("minimum", field.description.least), ("maximum", field.description.most)):
            assert bound is None or described[key] == bound


@pytest.mark.parametrize(("typed_dict", "field"), FIELDS, ids=name_of)
def test_a_field_keeps_unit_and_range_in_typescript(typed_dict: Any, field: Field) -> None:
    interface = re.search(
        rf"^export interface {typed_dict.__name__} \{{\n(.*?)^\}}", types_module(), re.MULTILINE | re.DOTALL
    )
    assert interface is not None
    optional = "" if field.required else "?"
    assert f"  /** {field.description} */\n  {field.name}{optional}: " in interface[1]
    table = re.search(
        rf"keyof {typed_dict.__name__}, FieldDescription>> = \{{\n(.*?)^\}}",
        field_descriptions_module(),
        re.MULTILINE | re.DOTALL,
    )
    assert table is not None
    (row,) = re.findall(rf"^  {field.name}: \{{ (.*) \}},$", table[1], re.MULTILINE)
    read = json.loads("{" + re.sub(r"(?:^|(?<=, ))(words|unit|least|most|known):", r'"\1":', row) + "}")
    assert read.pop("words") == field.description.words
    rest = {key: value for key, value in field.description._asdict().items() if value not in ("", None, ())}
    assert read == {key: list(value) if key == "known" else value for key, value in rest.items() if key != "words"}


def test_every_close_code_is_described() -> None:
    told = {
        int(code): (close_code["reason"], close_code["reconnect"])
        for code, close_code in asyncapi()["channels"]["stream"]["x-close-codes"].items()
    }
    assert told == {close_code.code: (close_code.reason, close_code.reconnect) for close_code in OWN_CLOSE_CODES}
    for close_code in OWN_CLOSE_CODES:
        row = [json.dumps(close_code.reason), json.dumps(close_code.reconnect)]
        assert f"  {close_code.code}: [{', '.join(row)}]," in types_module()


# -- the Python client -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed_dict", TYPED_DICTS, ids=name_of)
def test_a_type_of_the_python_client_is_that_of_the_gateway(typed_dict: Any) -> None:
    of_client = getattr(contract, typed_dict.__name__)
    assert of_client.__required_keys__ == typed_dict.__required_keys__
    assert plain_hints(of_client) == plain_hints(typed_dict)


def plain_hints(typed_dict: Any) -> dict[str, str]:
    """The type of each field; a TypedDict by its name, whichever module has it."""
    return {name: re.sub(r"[\w.]+\.(?=\w)", "", str(hint)) for name, hint in get_type_hints(typed_dict).items()}


def test_the_close_codes_of_the_python_client_are_those_of_the_gateway() -> None:
    assert {code.code: (code.reason, code.reconnect) for code in OWN_CLOSE_CODES} == contract.CLOSE_CODES


# -- shapes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_query", [True, False])
def test_each_parameter_of_a_shape_is_described(in_query: bool) -> None:
    assert shape_schema(in_query=in_query)["properties"].keys() == PARAMETERS.keys()
