"""The payload and the close codes as TypeScript modules."""

import json
import re
import types
from typing import Any, Final, Union, get_args, get_origin, is_typeddict

from src.gateway.close_codes import OWN_CLOSE_CODES
from src.gateway.descriptions.typed_dicts import TYPED_DICTS, Field, fields, summary

PLAIN: Final = {str: "string", float: "number", int: "number", bool: "boolean", types.NoneType: "null"}
HEAD: Final = """\
/** What the gateway sends. Written by `make contract` from the gateway's own types; a change here would be lost. */

/** A name that the frontend knows, or one that Core has invented since. */
export type Known<Name extends string> = Name | (string & {});
"""


FIELD_DESCRIPTIONS_HEAD: Final = """\
/** What each field of the payload means, for pages that show it. Written by `make contract`, like `contract.ts`. */

export interface FieldDescription {
  /** What it is, in words. */
  readonly words: string;
  /** Of a number that is not plain. */
  readonly unit?: string;
  /** The smallest value, included. */
  readonly least?: number;
  /** The largest. */
  readonly most?: number;
  /** The names that Core uses today; it may invent others. */
  readonly known?: readonly string[];
}
"""


def types_module() -> str:
    """The source of `contract.ts`: types, and the close codes."""
    return "\n".join([HEAD, *map(_interface, TYPED_DICTS), _close_codes()])


def field_descriptions_module() -> str:
    """The source of `field-descriptions.ts`: the same facts as values."""
    names = ", ".join(sorted(typed_dict.__name__ for typed_dict in TYPED_DICTS))
    imported = f'import type {{ {names} }} from "./contract.js";\n'
    return "\n".join([imported, FIELD_DESCRIPTIONS_HEAD, *map(_field_descriptions, TYPED_DICTS)])


def _interface(typed_dict: Any) -> str:
    lines = [f"/** {summary(typed_dict)} */", f"export interface {typed_dict.__name__} {{"]
    for field in fields(typed_dict):
        optional = "" if field.required else "?"
        lines += [f"  /** {field.description} */", f"  {field.name}{optional}: {_kind_of(field)};"]
    return "\n".join([*lines, "}", ""])


def _field_descriptions(typed_dict: Any) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", typed_dict.__name__).upper()
    rows = [f"  {field.name}: {{ {_given(field)} }}," for field in fields(typed_dict)]
    head = f"export const {name}: Readonly<Record<keyof {typed_dict.__name__}, FieldDescription>> = {{"
    return "\n".join([f"/** {summary(typed_dict)} */", head, *rows, "};", ""])


def _given(field: Field) -> str:
    given = {key: value for key, value in field.description._asdict().items() if value not in ("", None, ())}
    return ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in given.items())


def _kind_of(field: Field) -> str:
    if field.description.known:
        known = f"Known<{' | '.join(map(json.dumps, field.description.known))}>"
        if get_origin(field.kind) is list:
            return f"{known}[]"
        return f"{known} | null" if types.NoneType in get_args(field.kind) else known
    return _kind(field.kind)


def _kind(kind: Any) -> str:
    if is_typeddict(kind):
        return str(kind.__name__)
    if get_origin(kind) is list:
        element = _kind(get_args(kind)[0])
        return f"({element})[]" if " | " in element else f"{element}[]"
    if get_origin(kind) is dict:
        return "Record<string, unknown>"
    if get_origin(kind) in (Union, types.UnionType):
        return " | ".join(map(_kind, get_args(kind)))
    return PLAIN[kind]


def _close_codes() -> str:
    row = "readonly [explanation: string, reconnect: boolean]"
    rows = [
        f"  {close_code.code}: [{json.dumps(close_code.reason)}, {json.dumps(close_code.reconnect)}],"
        for close_code in OWN_CLOSE_CODES
    ]
    return "\n".join(
        [
            "/** The gateway's own close codes: what each means, and whether connecting again makes sense. */",
            f"export const CLOSE_CODES: Readonly<Record<number, {row}>> = {{",
            *rows,
            "};",
            "",
        ]
    )
