"""Markdown as tests read it: tables, code blocks, links."""

import re
from functools import cached_property
from pathlib import Path

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route, WebSocketRoute

ROOT = Path(__file__).resolve().parents[2]
BACKEND = ROOT / "backend"
README = ROOT / "README.md"
CHANGELOG = ROOT / "CHANGELOG.md"
INTERFACES = BACKEND / "src" / "gateway" / "INTERFACES.md"

Row = dict[str, str]
"""A table's row: cell by the head of its column."""


class Document:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text()

    @cached_property
    def prose(self) -> str:
        """The text without its code blocks."""
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.MULTILINE | re.DOTALL)

    @cached_property
    def anchors(self) -> set[str]:
        """What links into this document may name, by GitHub's rule."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    @property
    def links(self) -> list[str]:
        return re.findall(r"\]\(([^)\s]+)\)", self.prose)

    def code(self, language: str = "") -> list[str]:
        """The code blocks of this language, as printed."""
        blocks = re.findall(r"^```(\w*)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        return [code for each, code in blocks if each == language]

    def tables(self, heading: str) -> list[list[Row]]:
        """The tables between this heading and the next."""
        section = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", self.prose, re.MULTILINE | re.DOTALL)
        assert section is not None, f"{self.path.name} has no heading {heading!r}"
        blocks = re.findall(r"(?:^\|.*\|\n)+", section[1], re.MULTILINE)
        return [_rows(block) for block in blocks]

    def table(self, heading: str) -> list[Row]:
        """The only table under this heading."""
        (table,) = self.tables(heading)
        return table


def routes(app: FastAPI) -> dict[str, BaseRoute]:
    """Every route of the application, by its path; those of included routers too."""
    listed: dict[str, BaseRoute] = {}
    for route in app.routes:
        within = route.original_router.routes if hasattr(route, "original_router") else [route]
        listed |= {each.path: each for each in within if isinstance(each, Route | WebSocketRoute)}
    return listed


def code_words(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def _rows(block: str) -> list[Row]:
    head, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
    assert all(len(line) == len(head) for line in lines), f"a row is wider or narrower than its head: {head}"
    return [dict(zip(head, line, strict=True)) for line in lines]
