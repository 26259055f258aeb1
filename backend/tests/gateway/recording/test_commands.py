"""`record` and `replay` as their users run them: processes, a real nats-server, a terminal."""

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from src.common.bus import NATSBus
from src.demo.nats_server import NatsServer
from src.gateway.recording.commands import read_arguments
from src.gateway.recording.file import RecordedMessage
from tests.documents import BACKEND, ROOT
from tests.end_to_end.publisher import Publisher
from tests.gateway.recording.recordings import read, write
from tests.waiting import LIMIT_S

REAL = sorted((ROOT.parent / "shared" / "real").glob("*.jsonl.gz"))
OURS = ("NATS_URL", "PORT", "GATEWAY_")
ODD_BODIES = [b'{"ts":1, "n":1.50}', b"nonsense", b"\xff\x00", b'{"a":NaN}', b"", b'{\n"a":1}']


class Command:
    """`python -m src.gateway …`; what it says goes to a file, so that it never waits for us."""

    def __init__(self, folder: Path, nats_url: str, *arguments: str, settings: Mapping[str, str]) -> None:
        self._output = folder / f"{arguments[0]}-{time.monotonic_ns()}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "src.gateway", *arguments],
                cwd=BACKEND,
                env={**inherited, "NATS_URL": nats_url, "GATEWAY_CONNECT_TIMEOUT": "5", **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self._output.read_text()

    def until_it_says(self, text: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while text not in self.said:
            assert time.monotonic() < deadline, f"it does not say {text!r}: {self.said}"
            assert self.process.poll() is None, f"it ended before it said {text!r}: {self.said}"
            time.sleep(0.01)

    def wait(self) -> int:
        return self.process.wait(LIMIT_S)

    def stop(self, how: int = signal.SIGINT) -> int:
        self.process.send_signal(how)
        return self.wait()


Run = Callable[..., Command]


@pytest.fixture
def run(tmp_path: Path, nats_server: NatsServer) -> Iterator[Run]:
    """Runs commands, against `nats_server` where no URL is given; those that still run after the test are killed."""
    started: list[Command] = []

    def start(*arguments: str | Path, nats_url: str = nats_server.url, **settings: str) -> Command:
        started.append(Command(tmp_path, nats_url, *map(str, arguments), settings=settings))
        return started[-1]

    yield start
    for command in started:
        command.process.kill()
        command.process.wait()


@pytest.fixture
def record(run: Run, nats_server: NatsServer) -> Callable[..., Command]:
    """A recording that has begun."""

    def start(path: Path, *options: str) -> Command:
        command = run("record", path, *options)
        command.until_it_says("recording from")
        asyncio.run(until_followed(nats_server))
        return command

    return start


async def until_followed(server: NatsServer) -> None:
    """Wait until both subjects are read."""
    async with Publisher(server) as somebody, asyncio.timeout(LIMIT_S):
        for stream in ("LEVEL_SIGNALS", "MARKET_DATA"):
            while not await somebody.jetstream.consumers_info(stream):
                await asyncio.sleep(0.01)


def publish(server: NatsServer, *numbers: int) -> None:
    async def publish_all() -> None:
        bus = NATSBus(server.url)
        await bus.connect()  # which makes the streams
        await bus.close()
        async with Publisher(server) as publisher:
            for number in numbers:
                await publisher.levels(number)
                await publisher.flow(number)

    asyncio.run(publish_all())


def until_recorded(path: Path, count: int) -> None:
    """Wait until so many messages are safe in the file."""
    deadline = time.monotonic() + LIMIT_S
    while not path.exists() or path.stat().st_size < 20 or len(read(path)) < count:
        assert time.monotonic() < deadline, f"{count} messages do not get into the file"
        time.sleep(0.05)


def bodies(messages: list[RecordedMessage]) -> dict[str, list[bytes]]:
    """What was published on each subject, in order."""
    return {
        name: [each.body for each in messages if each.subject == name] for name in ("levels.signals", "market.flow")
    }


def session(count: int, gap_ms: int = 5) -> list[RecordedMessage]:
    """A short day of numbered messages, with every odd body there is."""
    messages = []
    for number in range(count):
        levels = ODD_BODIES[number] if number < len(ODD_BODIES) else b'{"ts":%d}' % (1_765_896_227_005 + number)
        messages.append(RecordedMessage("levels.signals", 1_000 + number * gap_ms, levels))
        messages.append(RecordedMessage("market.flow", 1_001 + number * gap_ms, b'{"n":%d}' % number))
    return messages


def test_what_is_recorded_replayed_and_recorded_again_is_the_same(
    run: Run, record: Callable[..., Command], tmp_path: Path
) -> None:
    original = session(100)
    first = record(tmp_path / "first.gz")
    assert run("replay", write(tmp_path / "original.gz", original)).wait() == 0
    until_recorded(tmp_path / "first.gz", len(original))
    assert first.stop() == 0
    assert f"{len(original)} messages (100 levels.signals, 100 market.flow)" in first.said
    assert read(tmp_path / "first.gz")[0].t_ms > 1_700_000_000_000, "the bus's clock, not the recording's"
    second = record(tmp_path / "second.gz")
    assert run("replay", tmp_path / "first.gz", "--speed", "max").wait() == 0
    until_recorded(tmp_path / "second.gz", len(original))
    assert second.stop(signal.SIGTERM) == 0
    assert bodies(read(tmp_path / "second.gz")) == bodies(read(tmp_path / "first.gz")) == bodies(original)


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_sessions_of_a_running_core_come_through(
    path: Path, run: Run, record: Callable[..., Command], tmp_path: Path
) -> None:
    recording = record(tmp_path / "copy.gz")
    assert run("replay", path, "--speed", "max").wait() == 0
    until_recorded(tmp_path / "copy.gz", len(read(path)))
    recording.stop()
    assert bodies(read(tmp_path / "copy.gz")) == bodies(read(path))


# -- record ------------------------------------------------------------------------------------------------------------


def test_a_recorder_that_is_killed_leaves_what_can_be_replayed(
    run: Run, record: Callable[..., Command], nats_server: NatsServer, tmp_path: Path
) -> None:
    recording = record(tmp_path / "a.gz")
    publish(nats_server, 1, 2)
    until_recorded(tmp_path / "a.gz", 4)
    recording.process.kill()
    recording.process.wait()
    replaying = run("replay", tmp_path / "a.gz", "--speed", "max")
    assert replaying.wait() == 0
    assert "ends early: it was cut off; all before that was replayed" in replaying.said
    assert "replayed 4 messages" in replaying.said


def test_an_outage_leaves_no_hole(record: Callable[..., Command], nats_server: NatsServer, tmp_path: Path) -> None:
    recording = record(tmp_path / "a.gz")
    publish(nats_server, 1)
    nats_server.stop()
    recording.until_it_says("lost the connection")
    nats_server.start()
    publish(nats_server, *range(2, 100))
    until_recorded(tmp_path / "a.gz", 198)
    assert recording.stop() == 0
    assert bodies(read(tmp_path / "a.gz"))["market.flow"] == [b'{"n": %d}' % number for number in range(1, 100)]


def test_a_recording_may_begin_in_the_past_and_end_by_itself(run: Run, nats_server: NatsServer, tmp_path: Path) -> None:
    publish(nats_server, 1, 2, 3)
    recording = run("record", tmp_path / "a.gz", "--since", "1h", "--for", "2")
    assert recording.wait() == 0
    assert [message.subject for message in read(tmp_path / "a.gz")] == ["levels.signals", "market.flow"] * 3


def test_nothing_published_leaves_no_file(record: Callable[..., Command], tmp_path: Path) -> None:
    recording = record(tmp_path / "a.gz")
    assert recording.stop() == 0
    assert "nothing was published, so there is no file" in recording.said
    assert not (tmp_path / "a.gz").exists()


def test_a_file_that_is_there_is_only_written_over_by_force(
    run: Run, record: Callable[..., Command], nats_server: NatsServer, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.gz", session(1))
    refused = run("record", path)
    assert refused.wait() == 1
    assert "is there already: take another name, or --force" in refused.said
    assert len(read(path)) == 2
    recording = record(path, "--force")
    publish(nats_server, 1, 2)
    until_recorded(path, 4)
    assert recording.stop() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_full_disk_ends_a_recording_with_a_line(run: Run, nats_server: NatsServer) -> None:
    publish(nats_server, 1)
    recording = run("record", "/dev/full", "--force", "--since", "1h")
    assert recording.wait() == 1
    assert "cannot write /dev/full any further: no space left on device" in recording.said
    assert "Traceback" not in recording.said


READS = ("STREAM.NAMES", "STREAM.INFO.*", "CONSUMER.CREATE.*.*.>", "CONSUMER.DELETE.*.*")
LOGINS = """\
authorization {{ users: [
  {{ user: core, password: core }}
  {{ user: desk, password: s3cret, permissions: {{ publish: {rights}, subscribe: ["_INBOX.>"] }} }}
] }}
"""


def logins(*rights: str) -> str:
    """A server's users: `core` may do everything, `desk` this."""
    return LOGINS.format(rights=[f"$JS.API.{right}" for right in rights]).replace("'", '"')


def test_the_gateways_login_is_used_and_a_missing_right_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret")
    with NatsServer(config=logins(*READS)) as server:
        as_core = server.url.replace("://", "://core:core@")
        path = write(tmp_path / "a.gz", session(5))
        assert run("replay", path, nats_url=as_core).wait() == 0
        login = {"GATEWAY_NATS_USER": "desk", "GATEWAY_NATS_PASSWORD_FILE": str(tmp_path / "password")}
        recording = run("record", tmp_path / "b.gz", "--since", "1h", nats_url=server.url, **login)
        recording.until_it_says("not permitted: grant this NATS user publish on $JS.API.CONSUMER.MSG.NEXT.")
        server.reload(logins(*READS, "CONSUMER.MSG.NEXT.>"))
        until_recorded(tmp_path / "b.gz", 10)
        assert recording.stop() == 0
    assert bodies(read(tmp_path / "b.gz")) == bodies(read(path))


# -- replay ------------------------------------------------------------------------------------------------------------


def test_the_gaps_are_kept_and_the_speed_divides_them(run: Run, record: Callable[..., Command], tmp_path: Path) -> None:
    whole_s = 4.0
    path = write(
        tmp_path / "a.gz", [message for message in session(41, gap_ms=100) if message.subject == "market.flow"]
    )
    recording = record(tmp_path / "b.gz")
    assert run("replay", path, "--speed", "4").wait() == 0
    until_recorded(tmp_path / "b.gz", 41)
    recording.stop()
    messages = read(tmp_path / "b.gz")
    assert (messages[-1].t_ms - messages[0].t_ms) / 1000 > 0.9 * whole_s / 4


def test_a_part_begins_with_what_was_known_by_then(run: Run, record: Callable[..., Command], tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.gz", [RecordedMessage("market.flow", 1_000 * number, b'{"n":%d}' % number) for number in range(9)]
    )
    recording = record(tmp_path / "b.gz")
    assert run("replay", path, "--from", "2.5s", "--to", "0:05", "--speed", "max").wait() == 0
    until_recorded(tmp_path / "b.gz", 3)
    recording.stop()
    assert bodies(read(tmp_path / "b.gz"))["market.flow"] == [b'{"n":2}', b'{"n":3}', b'{"n":4}']


def test_a_replay_may_begin_again_and_again(run: Run, tmp_path: Path) -> None:
    replaying = run("replay", write(tmp_path / "a.gz", session(2)), "--loop", "--speed", "max")
    replaying.until_it_says("replaying")
    recording = run("record", tmp_path / "b.gz", "--for", "3")
    assert recording.wait() == 0
    assert replaying.stop() == 0
    assert "stopped:" in replaying.said
    flows = bodies(read(tmp_path / "b.gz"))["market.flow"]
    assert flows.count(b'{"n":0}') > 1


def test_a_replay_may_take_place_now(run: Run, record: Callable[..., Command], tmp_path: Path) -> None:
    path = write(tmp_path / "a.gz", [RecordedMessage("levels.signals", 1, b'{"ts":1,"viewport":{"ts":1,"n":1.50}}')])
    recording = record(tmp_path / "b.gz")
    assert run("replay", path, "--retime").wait() == 0
    until_recorded(tmp_path / "b.gz", 1)
    recording.stop()
    (message,) = read(tmp_path / "b.gz")
    (ts,) = set(re.findall(rb'"ts":(\d+)', message.body))
    assert abs(int(ts) - message.t_ms) < 60_000
    assert b'"n":1.50' in message.body


def test_an_outage_holds_a_replay_up_and_does_not_end_it(run: Run, nats_server: NatsServer, tmp_path: Path) -> None:
    path = write(tmp_path / "a.gz", session(30, gap_ms=100))
    replaying = run("replay", path)
    replaying.until_it_says("replaying")
    nats_server.stop()
    replaying.until_it_says("lost the connection")
    nats_server.start()
    assert replaying.wait() == 0
    assert "replayed 60 messages" in replaying.said


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b"some text\n", (), "is not a recording: its first line is no message"),
        (b"", (), "holds no message: it is empty"),
        (None, (), "cannot read"),
        (b'{"subject":"market.flow","t_ms":1,"data":{}}\n', ("--from", "1h"), "lies between --from and --to"),
    ],
)
def test_what_cannot_be_replayed_is_told_in_one_line(
    content: bytes | None, options: tuple[str, ...], said: str, run: Run, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    replaying = run("replay", tmp_path / "a", *options)
    assert replaying.wait() == 1
    assert said in replaying.said
    assert replaying.said.count("ERROR") == 1
    assert "Traceback" not in replaying.said


@pytest.mark.parametrize("command", ["record", "replay"])
def test_no_nats_is_told_in_one_line(command: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    if command == "replay":
        write(path, session(1))
    failing = run(command, path, nats_url="nats://127.0.0.1:1")
    assert failing.wait() == 1
    assert "cannot reach nats://127.0.0.1:1" in failing.said
    assert failing.said.count("\n") == 1
    assert path.exists() == (command == "replay")


# -- what is shown, and what is typed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["record", "new.gz", "--since", "1h"], r"● 0:\d\d  20 messages  [\d.]+/s  [\d.]+ k?B"),
        (["replay", "old.gz", "--speed", "0.1"], r"▶ 0:00  (\d\d:\d\d:\d\d New York  )?100%  \d+ messages  0.1 x"),
    ],
)
def test_a_terminal_shows_one_line_that_is_redrawn(
    arguments: list[str], shown: str, nats_server: NatsServer, tmp_path: Path
) -> None:
    publish(nats_server, *range(10))
    write(tmp_path / "old.gz", session(100))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "src.gateway", *arguments, "--nats-url", nats_server.url],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(BACKEND), "COLUMNS": "100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = ""
    while len(re.findall(shown, seen)) < 2:
        seen += os.read(ours, 65536).decode(errors="replace")
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_S) == 0
    os.close(ours)
    assert re.search(rf"{shown}\r\x1b\[K(▶|●)", seen)


def test_a_pipe_gets_no_line_that_is_redrawn(record: Callable[..., Command], tmp_path: Path) -> None:
    recording = record(tmp_path / "a.gz")
    recording.stop()
    assert "\x1b" not in recording.said
    assert "\r" not in recording.said


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ("30s", 30), ("10m", 600), ("2h", 7200), ("1:30", 90), ("1:02:03", 3723), ("0:05", 5)],
)
def test_durations_are_typed_as_people_write_them(text: str, seconds: float) -> None:
    assert read_arguments(["replay", "a", "--from", text]).begin == seconds


@pytest.mark.parametrize(
    "arguments",
    [
        ["record", "a", "--for", "soon"],
        ["record", "a", "--since", "1:75"],
        ["record", "a", "--since", "99999h"],
        ["replay", "a", "--from", "-1"],
        ["replay", "a", "--to", "nan"],
        ["replay", "a", "--speed", "0"],
        ["replay", "a", "--speed", "fast"],
        ["replay", "a", "--speed", "inf"],
        ["replay", "a", "--colour"],
    ],
)
def test_a_wrong_argument_is_named_in_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_arguments(arguments)
    assert ended.value.code == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert arguments[2] in stderr


def test_a_span_that_ends_before_it_begins_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["replay", "a", "--from", "10", "--to", "5"])
    assert "--to is not accepted: it has to lie after --from" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["bake"], 2), (["run", "fast"], 2), (["--help"], 0)])
def test_the_commands_are_told(arguments: list[str], status: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "src.gateway", *arguments], cwd=BACKEND, capture_output=True, text=True
    )
    assert ended.returncode == status
    told = ended.stdout if status == 0 else ended.stderr
    assert all(f"\n  {command} " in told for command in ("run", "record FILE", "replay FILE"))


def test_run_is_the_gateway(nats_server: NatsServer) -> None:
    gateway = subprocess.Popen(
        [sys.executable, "-m", "src.gateway", "run"],
        cwd=BACKEND,
        env={**os.environ, "NATS_URL": nats_server.url, "GATEWAY_PORT": "none"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "GATEWAY_PORT" in gateway.communicate(timeout=LIMIT_S)[1]
    assert gateway.returncode == 2
