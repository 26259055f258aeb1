"""What a viewer asks for that was told it has missed events: `/events?since=CURSOR`, beside its connection."""

import contextlib
import http.client
import queue
import random
import threading
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from soak.hostile_viewers import HOST
from soak.shapes import COUNTED, COUNTER, Events, Follower, Gap

ASKING: Final = 4  # threads, so that a gateway that hangs does not delay all
ASK_LIMIT_S: Final = 5.0
TRIES: Final = 9  # as the clients do
LONGEST_PAUSE_S: Final = 3.0


class Past:
    """Asks for all viewers, in threads of its own, which end with the process."""

    def __init__(self, ports: Sequence[int], seed: int) -> None:
        """
        Args:
            ports: of the gateways; each attempt takes one of them by chance.
        """
        self._ports = ports
        self._chance = random.Random(seed)
        self._asked: queue.SimpleQueue[tuple[Follower, Gap]] = queue.SimpleQueue()
        self._answered: queue.SimpleQueue[tuple[Follower, Gap, Events | None]] = queue.SimpleQueue()
        for _ in range(ASKING):
            threading.Thread(target=self._answer, daemon=True).start()

    def ask(self, follower: Follower, gap: Gap) -> None:
        """Returns at once."""
        self._asked.put((follower, gap))

    def answers(self) -> list[tuple[Follower, Gap, Events | None]]:
        """Those that came since the last call; None where no answer was complete."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._answered.get_nowait())
        return found

    def _answer(self) -> None:
        while True:
            follower, gap = self._asked.get()
            self._answered.put((follower, gap, self._complete(gap)))

    def _complete(self, gap: Gap) -> Events | None:
        for _ in range(TRIES):
            answer = self._since(gap.cursor)
            if answer is not None and answer.complete and answer.reaches(gap.until):
                return answer
            time.sleep(self._chance.uniform(0, LONGEST_PAUSE_S))
        return None

    def _since(self, cursor: str) -> Events | None:
        connection = http.client.HTTPConnection(HOST, self._chance.choice(self._ports), timeout=ASK_LIMIT_S)
        try:
            connection.request("GET", f"/events?since={cursor}&kinds={COUNTED}&levels={COUNTER}")
            response = connection.getresponse()
            body = response.read()
            return msgspec.json.decode(body, type=Events) if response.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
