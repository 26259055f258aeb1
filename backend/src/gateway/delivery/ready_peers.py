"""The peers of a channel that take a frame now, in slices. Values only: the channel sends.

All peers of a slice take one form and were sent the same frame last, so they get the same bytes. A round sends to a
slice as it stands, and then only the slice has another number: nothing of a single peer is moved, looked up or read but
its socket. Since the round before, a quarter of a second ago, the processor's cache has lost all of them.
"""

from collections.abc import Iterator
from typing import Final

from src.gateway.delivery.frame import Form, shown_of, state_of
from src.gateway.delivery.peer import Peer, Send

SLICE_PEERS: Final = 32  # a third of a millisecond of sends; 16 cost more CPU a frame, and 64 or 128 no less


class Slice:
    """At most `SLICE_PEERS` peers.

    Attributes:
        form: which they take.
        last: the number of the frame that they were sent last; 0 for none.
        peers: by what sends to them.
    """

    __slots__ = ("form", "last", "peers")

    def __init__(self, form: Form, last: int) -> None:
        self.form = form
        self.last = last
        self.peers: dict[Send, Peer] = {}


class ReadyPeers:
    """All slices of a channel."""

    def __init__(self) -> None:
        self._slice_of: dict[Send, Slice] = {}
        self._slices: dict[Slice, None] = {}
        self._open: dict[tuple[Form, int], Slice] = {}  # had room and these when they were put here

    def __len__(self) -> int:
        return len(self._slice_of)

    def add(self, peer: Peer, last: int) -> None:
        """`last` is the number of the frame that the peer was sent last; 0 for none."""
        into = self._open.get((peer.form, last))
        if into is None or into.last != last or not 0 < len(into.peers) < SLICE_PEERS:
            into = self._open[peer.form, last] = Slice(peer.form, last)
            self._slices[into] = None
        into.peers[peer.send] = peer
        self._slice_of[peer.send] = into

    def remove(self, peer: Peer) -> int:
        """Idempotent. Returns the number of the frame that the peer was sent last, or 0."""
        out_of = self._slice_of.pop(peer.send, None)
        if out_of is None:
            return 0
        del out_of.peers[peer.send]
        if not out_of.peers:
            del self._slices[out_of]
        return out_of.last

    def due(self, number: int) -> list[Slice]:
        """The slices to which the frame with this number shows something newer; who is furthest behind comes first."""
        self._merge()
        return sorted(
            (each for each in self._slices if shown_of(each.last) < shown_of(number)), key=lambda each: each.last
        )

    def that_show(self, state: int) -> Iterator[Peer]:
        """The peers that were sent this state last."""
        for each in self._slices:
            if state_of(each.last) == state:
                yield from each.peers.values()

    def shows(self, peer: Peer, state: int) -> bool:
        """Whether the peer is among those of `that_show`."""
        own = self._slice_of.get(peer.send)
        return own is not None and state_of(own.last) == state

    def _merge(self) -> None:
        """Pour together what is less than half full, as peers come one by one and leave."""
        self._open.clear()
        for each in list(self._slices):
            if len(each.peers) > SLICE_PEERS // 2:
                continue
            into = self._open.setdefault((each.form, each.last), each)
            if into is each:
                continue
            into.peers.update(each.peers)
            self._slice_of.update(dict.fromkeys(each.peers, into))
            del self._slices[each]
            if len(into.peers) > SLICE_PEERS // 2:
                del self._open[each.form, each.last]
