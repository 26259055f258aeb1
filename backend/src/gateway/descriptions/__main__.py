"""`python -m src.gateway.descriptions`: write the files that describe the stream, or check that they are up to date."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from src.gateway.descriptions.asyncapi import asyncapi
from src.gateway.descriptions.configuration_page import configuration_page
from src.gateway.descriptions.json_schema import json_schema
from src.gateway.descriptions.python import contract_module
from src.gateway.descriptions.typescript import field_descriptions_module, types_module

ROOT: Final = Path(__file__).resolve().parents[4]


def _in_json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


DESCRIPTIONS: Final[dict[str, Callable[[], str]]] = {
    "client/typescript/src/contract.ts": types_module,
    "client/typescript/src/field-descriptions.ts": field_descriptions_module,
    "client/python/src/spymaster_client/contract.py": contract_module,
    "docs/configuration.md": configuration_page,
    "docs/contract/payload.schema.json": lambda: _in_json(json_schema()),
    "docs/contract/asyncapi.json": lambda: _in_json(asyncapi()),
}


def drifted(root: Path = ROOT) -> list[str]:
    """The files that say something else than the code, or are missing."""
    return [name for name, text in DESCRIPTIONS.items() if _read(root / name) != text()]


def write(root: Path = ROOT) -> None:
    """Write all of them."""
    for name, text in DESCRIPTIONS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text(), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="descriptions", description="Write what describes the stream to machines.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is out of date")
    if not parser.parse_args().check:
        write()
        return 0
    for name in (names := drifted()):
        print(f"{name} is out of date: `make contract` writes it again", file=sys.stderr)
    return 1 if names else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
