"""The payload and the close codes as a module of the Python client."""

import textwrap
import types
from typing import Any, Final, Union, get_args, get_origin, is_typeddict

from src.gateway.close_codes import OWN_CLOSE_CODES
from src.gateway.descriptions.typed_dicts import TYPED_DICTS, Field, fields, summary

HEAD: Final = '''\
"""What the gateway sends. Written by `make contract` from the gateway's own types; a change here would be lost."""

from typing import Any, Final, NotRequired, TypedDict

'''


def contract_module() -> str:
    """The source of `contract.py`: types, and the close codes."""
    return "\n".join([HEAD, *(_class(typed_dict) + "\n" for typed_dict in reversed(TYPED_DICTS)), _close_codes()])


def _class(typed_dict: Any) -> str:
    lines = [f"class {typed_dict.__name__}(TypedDict):", f'    """{summary(typed_dict)}"""', ""]
    for field in fields(typed_dict):
        docstring = textwrap.wrap(f'"""{field.description}"""', 116)
        lines += [f"    {field.name}: {_kind_of(field)}", *(f"    {line}" for line in docstring)]
    return "\n".join([*lines, ""])


def _kind_of(field: Field) -> str:
    return _kind(field.kind) if field.required else f"NotRequired[{_kind(field.kind)}]"


def _kind(kind: Any) -> str:
    if kind is types.NoneType:
        return "None"
    if kind is Any:
        return "Any"
    if get_origin(kind) in (list, dict):
        return f"{get_origin(kind).__name__}[{', '.join(map(_kind, get_args(kind)))}]"
    if get_origin(kind) in (Union, types.UnionType):
        return " | ".join(map(_kind, get_args(kind)))
    assert is_typeddict(kind) or kind in (str, float, int, bool), f"{kind} has no form here"
    return str(kind.__name__)


def _close_codes() -> str:
    rows = [f'    {code.code}: ("{code.reason}", {code.reconnect}),' for code in OWN_CLOSE_CODES]
    text = '"""The gateway\'s own close codes: what each means, and whether to connect again."""'
    return "\n".join(["CLOSE_CODES: Final = {", *rows, "}", text, ""])
