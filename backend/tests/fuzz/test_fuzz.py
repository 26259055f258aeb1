"""A short run of every target, in the suite. `make fuzz` runs them longer, and with another engine."""

import gc
import os
import random
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.gateway.delivery.stream_peer import StreamPeer
from src.gateway.listener.http_connection import HttpConnection
from tests.fuzz import targets
from tests.fuzz.dictionary import WORDS

EXAMPLES = int(os.environ.get("FUZZ_INPUTS", "200"))
ROUNDS = 300
MOST_KEPT_BYTES = 100_000

wires = st.builds(
    bytes.__add__,
    st.binary(min_size=2, max_size=2),
    st.lists(st.sampled_from(WORDS) | st.binary(max_size=40)).map(b"".join),
)


@pytest.fixture(scope="module", autouse=True)
def one_gateway() -> Iterator[None]:
    """For all inputs; what is left of it in the end would be a warning."""
    yield
    targets.gateway_under_test().close()
    targets.gateway_under_test.cache_clear()


@pytest.mark.parametrize("name", targets.TARGETS)
def test_any_bytes_are_survived(name: str) -> None:
    target = targets.TARGETS[name]

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(wires)
    def survives(fuzz: bytes) -> None:
        target(fuzz)

    survives()


@pytest.mark.parametrize("target", [targets.frames, targets.requests])
def test_nothing_is_kept_of_viewers_that_are_gone(target: targets.Target) -> None:
    def play(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(ROUNDS):
            target(chance.randbytes(2) + b"".join(chance.choices(WORDS, k=chance.randrange(20))))

    play(1)  # what is made once, is made
    tracemalloc.start()
    before = kept_bytes()
    play(2)
    grown = kept_bytes() - before
    tracemalloc.stop()
    assert grown < MOST_KEPT_BYTES
    kinds = [type(one) for one in gc.get_objects()]
    assert (kinds.count(StreamPeer), kinds.count(HttpConnection)) == (1, 0), "the healthy viewer alone"


def kept_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
