"""A recording: gzip, one JSON object a line, `{"subject", "t_ms", "data"}`, in the order of `t_ms`.

`t_ms` is when the bus stored the message, ms since 1970 UTC. `data` is its body, byte for byte. A body that cannot
stand there (not strict JSON, or written over several lines) stands as text in `text`, or in `base64` when it is no
UTF-8, so that every line is strict JSON and every body comes back as it was. Reading takes a file without gzip too.

What is written is complete up to the last `flush`, whatever happens to the process after it.
"""

import base64
import errno
import gzip
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, NamedTuple, Self

import msgspec

LEVEL: Final = 6  # measured on recorded sessions: 9 is 2 to 7 % smaller and takes a third longer
LONGEST_LINE_BYTES: Final = 96 << 20  # NATS carries 64 MiB at most; base64 makes it a third longer
GZIP_MAGIC: Final = b"\x1f\x8b"
GZIP_WBITS: Final = 31


class RecordingError(Exception):
    """The file cannot be written, or is no recording; the text says what to do."""


class RecordedMessage(NamedTuple):
    """One line of a recording; `t_ms`: when NATS stored it, ms UTC."""

    subject: str
    t_ms: int
    body: bytes


class Writer:
    """A new recording.

    Attributes:
        written: messages by subject.
        size_bytes: of the file, as far as it is on disk.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        """
        Raises:
            RecordingError: the file is there already, or cannot be made.
        """
        self.path = path
        self.written: Counter[str] = Counter()
        self.size_bytes = 0
        self._is_flushed = True
        self._is_broken = False
        self._gzip = zlib.compressobj(LEVEL, wbits=GZIP_WBITS)
        try:
            self._file = path.open("wb" if overwrite else "xb", buffering=0)
        except FileExistsError:
            raise RecordingError(f"{path} is there already: take another name, or --force to write over it") from None
        except OSError as error:
            raise RecordingError(f"cannot write {path}: {_words(error)}") from None

    def add(self, message: RecordedMessage) -> None:
        """Append a message; it is safe from the next `flush` on.

        Raises:
            RecordingError: the disk takes no more.
        """
        self._write(self._gzip.compress(line_of(message)))
        self.written[message.subject] += 1
        self._is_flushed = False

    def flush(self) -> None:
        """Write all added messages to disk.

        Raises:
            RecordingError: the disk takes no more.
        """
        if not self._is_flushed:
            self._write(self._gzip.flush(zlib.Z_SYNC_FLUSH))
            self._sync()
            self._is_flushed = True

    def close(self) -> None:
        """End the file, or remove it when nothing was added; idempotent.

        Raises:
            RecordingError: the disk does not take the end. What was flushed before can be read nevertheless.
        """
        if self._file.closed:
            return
        try:
            if not self._is_broken:  # with a hole in it, what followed could not be read
                self._write(self._gzip.flush(zlib.Z_FINISH))
                self._sync()
        finally:
            self._file.close()
            if not self.written and self.path.is_file():
                self.path.unlink()

    def _write(self, packed: bytes) -> None:
        view = memoryview(packed)
        try:
            while view:
                taken = self._file.write(view) or 0
                self.size_bytes += taken
                view = view[taken:]
        except OSError as error:
            self._is_broken = True
            raise RecordingError(f"cannot write {self.path} any further: {_words(error)}") from None

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            if error.errno not in NO_SYNC:
                self._is_broken = True
                raise RecordingError(f"cannot write {self.path} any further: {_words(error)}") from None


NO_SYNC: Final = (errno.EINVAL, errno.ENOTSUP)  # a pipe or a device, which has nothing to sync


class Reader:
    """The messages of a recording, as often as it is iterated.

    Attributes:
        unreadable: lines that hold no message, in all passes.
        cut: why the newest pass ended before the end of the file, or None.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            RecordingError: it is no recording, or there is nothing in it.
        """
        self.path = path
        self.unreadable = 0
        self.cut: str | None = None
        self._file: IO[bytes] | None = None
        self._size_bytes = 0
        with self as passing:
            if next(iter(passing), None) is None:
                raise RecordingError(f"{path} holds no message: {self.cut or 'it is empty'}")

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("rb")
            self._size_bytes = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise RecordingError(f"cannot read {self.path}: {_words(error)}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def share(self) -> float:
        """How much of the file has been read, 0 to 1."""
        if self._file is None or self._file.closed or not self._size_bytes:
            return 1.0
        return min(self._file.tell() / self._size_bytes, 1.0)

    def __iter__(self) -> Iterator[RecordedMessage]:
        """One pass, inside `with`.

        Raises:
            RecordingError: the first line is none of a recording.
        """
        for number, line in enumerate(self._lines()):
            message = message_of(line)
            if message is not None:
                yield message
            elif number == 0:
                raise RecordingError(_no_recording(self.path))
            else:
                self.unreadable += 1

    def _lines(self) -> Iterator[bytes]:
        """Whole lines; those before a cut or damage, where there is one."""
        assert self._file is not None, "inside `with`"
        self.cut = None
        is_packed = self._file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        self._file.seek(0)
        lines: Any = gzip.GzipFile(fileobj=self._file, mode="rb") if is_packed else self._file
        try:
            while line := lines.readline(LONGEST_LINE_BYTES):
                if not line.endswith(b"\n") and message_of(line) is None:
                    self.cut = "its last line is not whole"
                    return
                yield line
        except EOFError:
            self.cut = "it was cut off"
        except (zlib.error, OSError) as error:
            self.cut = f"it is damaged ({error})"


def line_of(message: RecordedMessage) -> bytes:
    """A message as a line."""
    name, value = _value_of(message.body)
    return b'{"subject":%b,"t_ms":%d,"%b":%b}\n' % (msgspec.json.encode(message.subject), message.t_ms, name, value)


def message_of(line: bytes) -> RecordedMessage | None:
    """The message of a line, or None when it holds none."""
    try:
        read = _LINES.decode(line)
        if read.text is not None:
            body = read.text.encode()
        elif read.base64 is not None:
            body = base64.b64decode(read.base64, validate=True)
        else:
            body = bytes(read.data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    has_body = bool(body) or read.text is not None or read.base64 is not None
    return RecordedMessage(read.subject, int(read.t_ms), body) if has_body and read.subject else None


class _Line(msgspec.Struct):
    subject: str
    t_ms: int | float
    data: msgspec.Raw = msgspec.Raw()
    text: str | None = None
    base64: str | None = None


_LINES: Final = msgspec.json.Decoder(_Line)
_SYNTAX: Final = msgspec.json.Decoder(msgspec.Raw)


def _value_of(body: bytes) -> tuple[bytes, bytes]:
    """The field that a body stands in, and how it stands there."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return b"base64", b'"%b"' % base64.b64encode(body)
    try:
        if b"\n" not in body and b"\r" not in body and bytes(_SYNTAX.decode(body)) == body:
            return b"data", body
    except (msgspec.DecodeError, RecursionError):
        pass
    return b"text", msgspec.json.encode(text)


def _no_recording(path: Path) -> str:
    return f"{path} is not a recording: its first line is no message of the form {{'subject', 't_ms', 'data'}}"


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
