"""One target under atheris: `python -m tests.fuzz.with_atheris TARGET [options of libFuzzer] CORPUS`."""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["src", "websockets", "uvicorn"]):
    from tests.fuzz import targets
from tests.fuzz.dictionary import WORDS

target = targets.TARGETS[sys.argv.pop(1)]
corpus = Path(sys.argv[-1])
for number, word in enumerate(WORDS):
    (corpus / f"word-{number}").write_bytes(b"\x05\x00" + word)
    (corpus / f"bare-{number}").write_bytes(word)
atheris.Setup(sys.argv, target)
atheris.Fuzz()
