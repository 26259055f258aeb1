"""Under which subject a stream keeps another one: as decided from its configuration, and as the real server does it."""

from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from src.common.stored_subject import covers, stored_subject
from src.demo.nats_server import NatsServer
from tests.leaf_node import ask, make_stream

LEVELS = "levels.signals"

MIRRORS = [  # of a stream that has `levels.signals`, and what it keeps that under
    ({}, LEVELS),
    ({"filter_subject": "levels.*"}, LEVELS),
    ({"subject_transforms": [{"src": LEVELS, "dest": "edge.levels"}]}, "edge.levels"),
    ({"subject_transforms": [{"src": "levels.*", "dest": "edge.$1.levels"}]}, "edge.signals.levels"),
    ({"subject_transforms": [{"src": "*.*", "dest": "{{wildcard(2)}}.of.{{ Wildcard( 1 ) }}"}]}, "signals.of.levels"),
    ({"subject_transforms": [{"src": "levels.>", "dest": "edge.levels.>"}]}, "edge.levels.signals"),
    ({"subject_transforms": [{"src": ">", "dest": "edge.>"}]}, "edge.levels.signals"),
    ({"subject_transforms": [{"src": "flow", "dest": "x"}, {"src": LEVELS, "dest": "y"}]}, "y"),
]
NOT_TOLD = {"subject_transforms": [{"src": "levels.*", "dest": "edge.{{partition(2,1)}}"}]}


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url)
    await make_stream(client, "ORIGIN", subjects=["levels.*"])
    yield client
    await client.close()


async def kept(client: Client, **config: Any) -> tuple[StreamConfig, dict[str, int]]:
    """A new stream of this configuration, and the subjects that it has after one message of `LEVELS`."""
    await make_stream(client, "COPY", **config)
    await client.publish(LEVELS, b"{}")
    subjects: dict[str, int] = {}
    while not subjects:
        info = await ask(client, "STREAM.INFO.COPY", {"subjects_filter": ">"})
        subjects = info["state"].get("subjects", {})
    return StreamConfig.from_response(info["config"]), subjects


@pytest.mark.parametrize("kind", ["mirror", "sources"])
@pytest.mark.parametrize(("source", "subject"), MIRRORS)
async def test_a_copy_keeps_it_as_its_transforms_say(
    client: Client, kind: str, source: dict[str, Any], subject: str
) -> None:
    named = {"name": "ORIGIN", **source}
    config, subjects = await kept(client, **{kind: named if kind == "mirror" else [named]})
    assert (stored_subject(config, LEVELS), list(subjects)) == (subject, [subject])


@pytest.mark.parametrize("dest", ["kept.$1", "kept.{{wildcard(1)}}"])
async def test_a_stream_may_transform_what_it_takes(client: Client, dest: str) -> None:
    await ask(client, "STREAM.DELETE.ORIGIN")
    config, subjects = await kept(client, subjects=["levels.*"], subject_transform={"src": "levels.*", "dest": dest})
    assert (stored_subject(config, LEVELS), list(subjects)) == ("kept.signals", ["kept.signals"])


async def test_what_a_source_brings_is_transformed_again(client: Client) -> None:
    source = {"name": "ORIGIN", "subject_transforms": [{"src": LEVELS, "dest": "edge.a"}]}
    config, subjects = await kept(client, sources=[source], subject_transform={"src": "edge.*", "dest": "kept.$1"})
    assert (stored_subject(config, LEVELS), list(subjects)) == ("kept.a", ["kept.a"])


async def test_only_the_server_knows_some_subjects(client: Client) -> None:
    config, subjects = await kept(client, mirror={"name": "ORIGIN", **NOT_TOLD})
    assert stored_subject(config, LEVELS) is None
    assert next(iter(subjects)) in ("edge.0", "edge.1")


@pytest.mark.parametrize(
    ("config", "subject"),
    [
        ({"subjects": ["elsewhere"]}, None),
        ({"mirror": {"name": "X", "filter_subject": "flow"}}, None),
        ({"mirror": {"name": "X", "subject_transforms": [{"src": "of.core", "dest": LEVELS}]}}, LEVELS),
        ({"mirror": {"name": "X", "subject_transforms": [{"src": "of.*", "dest": "levels.$1"}]}}, LEVELS),
        ({"mirror": {"name": "X", "subject_transforms": [{"src": "of.core", "dest": "a"}]}}, None),
        ({"subjects": [LEVELS], "sources": [{"name": "X"}]}, LEVELS),
        ({"subjects": [LEVELS], "sources": [{"name": "X", "filter_subject": "flow"}]}, LEVELS),
        ({"sources": [{"name": "X"}, {"name": "Y", "subject_transforms": [{"src": LEVELS, "dest": "a"}]}]}, None),
        ({"subjects": [">"], "subject_transform": {"src": "flow", "dest": "x"}}, LEVELS),
    ],
)
def test_a_configuration_tells_one_subject_or_none(config: dict[str, Any], subject: str | None) -> None:
    assert stored_subject(StreamConfig.from_response(config), LEVELS) == subject


@pytest.mark.parametrize(
    ("pattern", "subject", "whether"),
    [
        (">", "a", True),
        ("a.>", "a", False),
        ("a.>", "a.b.c", True),
        ("*", "a.b", False),
        ("a.*", "a", False),
        ("a.*.c", "a.b.c", True),
        ("a.b", "a.c", False),
    ],
)
def test_wildcards_cover_as_those_of_nats(pattern: str, subject: str, whether: bool) -> None:
    assert covers(pattern, subject) == whether
