"""Recordings as files: what goes in comes back, whatever it is and whatever happened to the file."""

import gzip
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from src.gateway.recording.file import Reader, RecordedMessage, RecordingError, Writer, line_of, message_of
from tests.documents import ROOT
from tests.gateway.recording.recordings import read, write

REAL = sorted((ROOT.parent / "shared" / "real").glob("*.jsonl.gz"))
MESSAGES = [
    RecordedMessage("levels.signals" if number % 2 else "market.flow", 1_000 + number, b'{"n":%d}' % number)
    for number in range(500)
]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"ts":1}', "data"),
        (b'{ "ts" : 1.0e2 , "a":[] }', "data"),
        (b'{"big":12345678901234567890123}', "data"),
        ('{"é":"\u2028"}'.encode(), "data"),
        (b"null", "data"),
        (b'{"ts":1}\n', "text"),
        (b' {"ts":1}', "text"),
        (b'{\n"ts":1}', "text"),
        (b'{"ts":1}\r', "text"),
        (b'{"ts":NaN}', "text"),
        (b'"\\ud800"', "text"),
        (b"\xef\xbb\xbf{}", "text"),
        (b"nonsense", "text"),
        (b"", "text"),
        (b"[" * 100_000, "text"),
        (b"\xff\x00", "base64"),
        (b'{"a":"\xff"}', "base64"),
    ],
)
def test_a_body_comes_back_as_it_was(body: bytes, field: str) -> None:
    line = line_of(RecordedMessage("levels.signals", 17, body))
    assert line.count(b"\n") == 1
    assert list(json.loads(line, parse_constant=pytest.fail)) == ["subject", "t_ms", field]
    assert message_of(line) == RecordedMessage("levels.signals", 17, body)


@given(some.one_of(some.binary(), some.text().map(str.encode), some.text().map(lambda text: json.dumps(text).encode())))
def test_any_body_comes_back_as_it_was(body: bytes) -> None:
    line = line_of(RecordedMessage("market.flow", 17, body))
    assert line.index(b"\n") == len(line) - 1
    assert message_of(line) == RecordedMessage("market.flow", 17, body)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"subject":"a","t_ms":1}',
        b'{"subject":"a","data":{}}',
        b'{"t_ms":1,"data":{}}',
        b'{"subject":"","t_ms":1,"data":{}}',
        b'{"subject":"a","t_ms":"1","data":{}}',
        b'{"subject":"a","t_ms":1,"base64":"*"}',
        b'{"subject":"a","t_ms":1,"base64":"\xc3\xa9"}',
        b'{"subject":"a","t_ms":1,"text":1}',
        b'{"subject":"a","t_ms":1,"data":{}',
    ],
)
def test_a_line_without_a_message_is_known(line: bytes) -> None:
    assert message_of(line) is None


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_sessions_of_a_running_core_are_read_and_written_as_they_are(path: Path, tmp_path: Path) -> None:
    copy = write(tmp_path / "copy.jsonl.gz", read(path))
    assert gzip.decompress(copy.read_bytes()) == gzip.decompress(path.read_bytes())


def test_the_file_is_gzip_with_a_message_a_line(tmp_path: Path) -> None:
    lines = gzip.decompress(write(tmp_path / "a.gz", MESSAGES).read_bytes()).splitlines()
    assert json.loads(lines[1]) == {"subject": "levels.signals", "t_ms": 1001, "data": {"n": 1}}
    assert len(lines) == len(MESSAGES)


def test_a_file_without_gzip_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"".join(map(line_of, MESSAGES)).removesuffix(b"\n"))
    assert read(tmp_path / "plain") == MESSAGES


def test_a_file_may_be_read_more_than_once(tmp_path: Path) -> None:
    reader = Reader(write(tmp_path / "a.gz", MESSAGES))
    for _ in range(2):
        with reader:
            assert list(reader) == MESSAGES
    assert reader.share == 1.0


# -- files that something happened to ----------------------------------------------------------------------------------


def test_what_was_flushed_survives_whoever_wrote_it(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a.gz", overwrite=False)
    for message in MESSAGES:
        writer.add(message)
    writer.flush()
    with Reader(tmp_path / "a.gz") as reader:
        assert list(reader) == MESSAGES
        assert reader.cut == "it was cut off"
    writer.close()
    assert read(tmp_path / "a.gz") == MESSAGES


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_read_up_to_the_cut(share: float, tmp_path: Path) -> None:
    whole = write(
        tmp_path / "a.gz",
        [message._replace(body=bytes([number % 251, 255])) for number, message in enumerate(MESSAGES)],
    )
    packed = whole.read_bytes()
    left = packed[: int(len(packed) * share)]
    (tmp_path / "cut.gz").write_bytes(left)
    lines = zlib.decompressobj(wbits=31).decompress(left).count(b"\n")
    with Reader(tmp_path / "cut.gz") as reader:
        assert list(reader) == read(whole)[:lines]
    assert lines > 0
    assert reader.cut is not None


def test_a_file_without_gzip_that_was_cut_off_is_read_up_to_the_last_whole_line(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(b"".join(map(line_of, MESSAGES))[:-5])
    with Reader(tmp_path / "cut") as reader:
        assert list(reader) == MESSAGES[:-1]
    assert reader.cut == "its last line is not whole"


def test_damage_ends_the_reading_and_is_told(tmp_path: Path) -> None:
    packed = bytearray(write(tmp_path / "a.gz", MESSAGES).read_bytes())
    packed[-8] ^= 255  # the checksum
    (tmp_path / "a.gz").write_bytes(packed)
    with Reader(tmp_path / "a.gz") as reader:
        assert list(reader) == MESSAGES
    assert reader.cut is not None
    assert "damaged" in reader.cut


def test_lines_that_hold_no_message_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(line_of(MESSAGES[0]) + b"nonsense\n{}\n" + line_of(MESSAGES[1]))
    with Reader(tmp_path / "a") as reader:
        assert list(reader) == MESSAGES[:2]
    assert reader.unreadable == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no message: it is empty"),
        (gzip.compress(b"", mtime=0), "holds no message: it is empty"),
        (gzip.compress(line_of(MESSAGES[0]), mtime=0)[:12], "holds no message: it was cut off"),
        (b"\x1f\x8bnonsense", "holds no message: it is damaged"),
        (b"some text\n", "is not a recording"),
        (b"\x00\x01\x02", "holds no message: its last line is not whole"),
        (gzip.compress(b'{"a":1}\n', mtime=0), "is not a recording"),
    ],
)
def test_what_is_no_recording_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(RecordingError, match=said):
        Reader(tmp_path / "a")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"cannot read .*missing: no such file"):
        Reader(tmp_path / "missing")
    with pytest.raises(RecordingError, match="is a directory"):
        Reader(tmp_path)


# -- files that cannot be written --------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gz", MESSAGES)
    with pytest.raises(RecordingError, match="is there already: take another name, or --force"):
        Writer(path, overwrite=False)
    assert read(path) == MESSAGES


def test_nothing_recorded_leaves_no_file(tmp_path: Path) -> None:
    Writer(tmp_path / "a.gz", overwrite=False).close()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"cannot write .*: no such file or directory"):
        Writer(tmp_path / "no" / "a.gz", overwrite=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_full_disk_is_told_and_ends_the_writing() -> None:
    writer = Writer(Path("/dev/full"), overwrite=True)
    with pytest.raises(RecordingError, match="any further: no space left on device"):
        while True:
            writer.add(MESSAGES[0])
            writer.flush()
    writer.close()
    assert Path("/dev/full").exists()
