"""INTERFACES.md says what the code does: its tables, compared with types, tables and behaviour of the code."""

import json
import re
import types
from collections.abc import Callable
from typing import Any, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from src.common.messages import MAX_DEPTH, REASONS
from src.common.subjects import DURABLES, STREAMS
from src.gateway.close_codes import OWN_CLOSE_CODES, PROTOCOL_ERROR_CODES
from src.gateway.descriptions.typed_dicts import OF_A_FRAME
from src.gateway.descriptions.typed_dicts import fields as fields_of
from src.gateway.http.health import Health, HistoryHealth, Readiness, SubscriptionHealth, ViewersHealth, WorkerHealth
from src.gateway.http.metrics_page import FAMILIES, WORKER_FAMILIES
from src.gateway.refusals import REFUSALS
from src.gateway.signals.causes import CAUSES
from src.gateway.signals.contract import (
    EVENT_KINDS,
    EXACT,
    VERDICTS,
    LevelSignal,
    MlPredictions,
    Retrieval,
    SpotSnapshot,
)
from src.gateway.signals.normalize import DIRECTION, SIGNAL
from tests.documents import INTERFACES, Document, Row, code_words
from tests.gateway.signals.normalizing import normalize

DOCUMENT = Document(INTERFACES)
PLAIN = {str: "string", float: "float", int: "int", bool: "bool", types.NoneType: "null"}


def in_words(annotation: Any) -> str:
    """A type as the document writes it."""
    if get_origin(annotation) is list:
        return f"list of {in_words(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        return "object"
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(map(in_words, get_args(annotation)))
    return PLAIN.get(annotation) or str(annotation.__name__)


def fields(table: list[Row]) -> dict[str, str]:
    """The type of each field of a table."""
    names = [code_words(row["field"])[0] for row in table]
    assert len(names) == len(set(names))
    return dict(zip(names, (row["type"] for row in table), strict=True))


@pytest.mark.parametrize("typed_dict", OF_A_FRAME, ids=lambda typed_dict: typed_dict.__name__)
def test_the_fields_of_the_payload_are_those_of_the_contract(typed_dict: Any) -> None:
    assert is_typeddict(typed_dict)
    written = fields(DOCUMENT.table(typed_dict.__name__))
    assert written == {name: in_words(annotation) for name, annotation in get_type_hints(typed_dict).items()}
    assert list(written) == list(get_type_hints(typed_dict))


@pytest.mark.parametrize("typed_dict", OF_A_FRAME, ids=lambda typed_dict: typed_dict.__name__)
def test_unit_and_range_of_a_field_are_those_of_the_contract(typed_dict: Any) -> None:
    told = [
        row["meaning, unit, range"].removesuffix("; see [mapping](#mapping)")
        for row in DOCUMENT.table(typed_dict.__name__)
    ]
    assert told == [str(field.description) for field in fields_of(typed_dict)]


@pytest.mark.parametrize("typed_dict", OF_A_FRAME, ids=lambda typed_dict: typed_dict.__name__)
def test_a_field_is_told_as_absent_when_it_may_be(typed_dict: Any) -> None:
    hints = get_type_hints(typed_dict, include_extras=True)
    may_be_absent = {
        name for name, hint in hints.items() if get_origin(hint) is NotRequired or not typed_dict.__total__
    }
    told = {
        code_words(row["field"])[0]
        for row in DOCUMENT.table(typed_dict.__name__)
        if row["when missing"].startswith("absent")
    }
    assert told == may_be_absent - {"feature_set"}, "feature_set is there in each retrieval that is not empty"


@pytest.mark.parametrize(
    "model",
    [Health, WorkerHealth, ViewersHealth, SubscriptionHealth, HistoryHealth, Readiness],
    ids=lambda model: model.__name__,
)
def test_the_fields_of_the_answers_are_those_of_the_models(model: Any) -> None:
    written = fields(DOCUMENT.table(model.__name__))
    assert written == {name: in_words(hint) for name, hint in get_type_hints(model).items()}


# -- what a field is when Core's is missing, and where it comes from ---------------------------------------------------

Normalize = Callable[[dict[str, Any]], Any]


def level_of(level: dict[str, Any]) -> Any:
    return normalize({"levels": [level]}).levels["levels"][0]


def predictions_of(target: dict[str, Any]) -> Any:
    viewport = {"targets": [{"level_id": "A", **target}]}
    return normalize({"levels": [{"id": "A"}], "viewport": viewport}).levels["levels"][0]["ml_predictions"]


def retrieval_of(retrieval: dict[str, Any]) -> Any:
    return predictions_of({"retrieval": {"neighbors": [], **retrieval}})["retrieval"]


def spot_of(spot: dict[str, Any]) -> Any:
    return normalize({"spy": spot}).levels["spy"]


NORMALIZED: dict[Any, Normalize] = {
    LevelSignal: level_of,
    MlPredictions: predictions_of,
    Retrieval: retrieval_of,
    SpotSnapshot: spot_of,
}
ROWS = [(typed_dict, row) for typed_dict in NORMALIZED for row in DOCUMENT.table(typed_dict.__name__)]
SAMPLES: dict[str, Any] = {"string": "odd", "float": 0.5, "int": 7, "bool": True, "object": {"t1": {"60": 0.5}}}


def name_of(case: Any) -> str:
    return case.__name__ if is_typeddict(case) else code_words(case["field"])[0]


@pytest.mark.parametrize(("typed_dict", "row"), ROWS, ids=name_of)
def test_a_field_that_core_does_not_send_is_what_the_table_says(typed_dict: Any, row: Row) -> None:
    normalized, field = NORMALIZED[typed_dict]({}), name_of(row)
    if row["when missing"] == "absent":
        assert field not in normalized
    elif row["when missing"] == "never":
        assert field in normalized
    else:
        (default,) = map(json.loads, code_words(row["when missing"]))
        assert normalized[field] == default
        assert type(normalized[field]) is type(default)


def source_column(row: Row) -> str:
    return next(cell for head, cell in row.items() if head.startswith("from "))


def nested(path: str, value: Any) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


# These are made of more than one field of Core's.
MADE = ("is_first_15m", "bars_since_open", "ml_predictions", "retrieval")


@pytest.mark.parametrize(("typed_dict", "row"), [case for case in ROWS if name_of(case[1]) not in MADE], ids=name_of)
def test_a_field_comes_from_where_the_table_says(typed_dict: Any, row: Row) -> None:
    sample = SAMPLES[row["type"].removesuffix(" or null")]
    first, *others = [path for path in code_words(source_column(row)) if not path.startswith("GATEWAY_")]
    assert NORMALIZED[typed_dict](nested(first, sample))[name_of(row)] == sample
    for other in others:
        assert NORMALIZED[typed_dict](nested(other, sample)).get(name_of(row)) not in (None, 0.0, sample / 2)
        assert NORMALIZED[typed_dict](nested(other, sample) | nested(first, 2 * sample))[name_of(row)] == 2 * sample


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "mapping"), [(0, DIRECTION), (1, SIGNAL)], ids=["direction", "signal"])
def test_the_mapping_is_the_codes(number: int, mapping: dict[str | None, str]) -> None:
    rows = [list(row.values()) for row in DOCUMENT.tables("Mapping")[number]]
    written = {None if ours == "missing" else code_words(ours)[0]: code_words(theirs)[0] for ours, theirs in rows}
    assert written == mapping


def test_the_subjects_and_streams_are_the_codes() -> None:
    assert [
        (
            code_words(row["subject"]),
            code_words(row["stream, when none covers the subject"]),
            code_words(row["durable"]),
        )
        for row in DOCUMENT.table("Subjects and streams")
    ] == [([subject], [spec.name], [DURABLES[subject]]) for subject, spec in STREAMS.items()]
    subjects = [code_words(row["its subjects"]) for row in DOCUMENT.table("Subjects and streams")]
    assert subjects == [list(spec.subjects) for spec in STREAMS.values()]


def test_every_reason_and_every_fault_is_told() -> None:
    reasons, faults = DOCUMENT.tables("Bad input")
    assert {code_words(row["reason"])[0] for row in reasons} == REASONS.keys() | {"callback_failed"}
    counted = re.findall(r'faults\["(\w+)"\]', "".join(path.read_text() for path in SIGNALS.glob("*.py")))
    assert {code_words(row["fault"])[0] for row in faults} == set(counted)
    assert f"more than {MAX_DEPTH} arrays" in DOCUMENT.text


SIGNALS = INTERFACES.parent / "signals"


def test_the_close_codes_are_the_codes() -> None:
    ours, of_the_protocol = DOCUMENT.tables("Close codes")
    written = [(int(row["code"]), row["reason"], row["connect again"] == "yes") for row in ours]
    assert written == [tuple(closing) for closing in OWN_CLOSE_CODES]
    assert [int(row["code"]) for row in of_the_protocol] == list(PROTOCOL_ERROR_CODES)


def test_the_kinds_of_events_are_the_codes() -> None:
    assert [row["kind"] for row in DOCUMENT.table("Kinds of events")] == [f"`{kind}`" for kind in EVENT_KINDS]


def test_the_refusals_are_the_codes() -> None:
    written = [(int(row["status"]), row["reason"], row["detail"]) for row in DOCUMENT.table("Refusals")]
    assert written == [(refusal.status, f"`{refusal.name}`", refusal.detail) for refusal in REFUSALS]


def metrics_table() -> list[Row]:
    rows = [
        {
            "metric": f"`{family.name}`",
            "type": family.kind,
            "labels": ", ".join(f"`{label}`" for label in family.labels),
            "meaning": family.help,
        }
        for family in FAMILIES
    ]
    return rows + [
        {"metric": f"`{name}`", "type": "gauge", "labels": "of all workers", "meaning": meaning}
        for name, meaning, _ in WORKER_FAMILIES
    ]


def test_the_metrics_are_those_that_are_exported() -> None:
    should_be = "\n".join(f"| {' | '.join(row.values())} |" for row in metrics_table())
    assert DOCUMENT.table("Metrics") == metrics_table(), f"the rows should be:\n{should_be}"


def test_a_member_that_is_told_is_there() -> None:
    source = (INTERFACES.parent / "socket_broadcaster.py").read_text()
    bus_source = (INTERFACES.parents[1] / "common" / "bus.py").read_text()
    for heading, code in (("SocketBroadcaster", source), ("NATSBus", bus_source)):
        for row in DOCUMENT.table(heading):
            for member in code_words(row["member"]):
                signature = re.sub(r"^async ", "async def ", member)
                name = signature.partition("(")[0]
                assert re.search(rf"(def |self\.){re.escape(name.removeprefix('async def '))}\b", code), member
                assert name.startswith("async def ") == (name in code and f"    {name}(" in code), member


assert EXACT == 2**53, "the document says 2^53"


def test_the_causes_are_the_codes() -> None:
    told = [(code_words(row["cause"])[0], row["what is so"], row["what to do"]) for row in DOCUMENT.table("Causes")]
    assert told == [(name, *cause) for name, cause in CAUSES.items()]


def test_the_verdicts_are_the_codes() -> None:
    assert [code_words(row["verdict"])[0] for row in DOCUMENT.table("Verdicts")] == list(VERDICTS)
