"""What the path through JetStream makes of what a server says, in values."""

import pytest
from nats.js.api import ClusterInfo, PeerInfo

from src.common.jetstream_path import UNHEARD_NS, has_majority

HEARD = PeerInfo(name="heard", current=True, active=400_000_000)
UNHEARD = PeerInfo(name="unheard", current=False, active=UNHEARD_NS)
OFFLINE = PeerInfo(name="offline", offline=True, active=400_000_000)


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [
        (None, True),
        ([], True),
        ([HEARD, HEARD], True),
        ([HEARD, UNHEARD], True),
        ([UNHEARD, UNHEARD], False),
        ([OFFLINE, UNHEARD], False),
        ([HEARD, HEARD, UNHEARD, OFFLINE], True),
        ([HEARD, OFFLINE, UNHEARD, UNHEARD], False),
    ],
)
def test_a_leader_needs_to_hear_a_majority(replicas: list[PeerInfo] | None, expected: bool) -> None:
    assert has_majority(ClusterInfo(leader="n1", replicas=replicas)) is expected


def test_a_server_alone_leads() -> None:
    assert has_majority(None)
