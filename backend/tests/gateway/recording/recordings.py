"""Recordings as files."""

from collections.abc import Sequence
from pathlib import Path

from src.gateway.recording.file import Reader, RecordedMessage, Writer


def write(path: Path, messages: Sequence[RecordedMessage]) -> Path:
    writer = Writer(path, overwrite=True)
    for message in messages:
        writer.add(message)
    writer.close()
    return path


def read(path: Path) -> list[RecordedMessage]:
    with Reader(path) as reader:
        return list(reader)
