"""Starts the history process, and starts it again when it has ended.

**The past has a process of its own**, so nothing that is read or asked of it delays a frame. It belongs to one gateway
process, and ends with it: its standard input is a pipe from there.
"""

import asyncio
import contextlib
import logging
import pickle
import sys
from pathlib import Path
from typing import Final

from src.common.tasks import end
from src.gateway.settings import Settings

logger = logging.getLogger("gateway")

PROGRAM: Final = (sys.executable, "-m", "src.gateway.history")
FOLDER: Final = Path(__file__).parents[3]  # from which `src` is imported
END_LIMIT_S: Final = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
STEADY_S: Final = 60.0  # a process that ran so long is started again at once


class HistoryProcess:
    """The history process of a gateway."""

    def __init__(self, settings: Settings, socket_path: str) -> None:
        """
        Args:
            settings: of the gateway.
            socket_path: where it listens, in a folder of this user alone.
        """
        self._given = (settings, socket_path)
        self._keeping: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    def open(self) -> None:
        """Start it."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="history process")

    async def close(self) -> None:
        """End it, by force after `END_LIMIT_S`; idempotent."""
        await end(self._keeping)
        self._keeping = None
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            assert process.stdin is not None, "it is a pipe"
            process.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_LIMIT_S):
                    await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = asyncio.get_running_loop().time()
            status = await self._run()
            if asyncio.get_running_loop().time() - began_s > STEADY_S:
                pause_s = FIRST_PAUSE_S
            logger.warning("the history process has ended with %d; starting it again in %g s", status, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run(self) -> int:
        process = await asyncio.create_subprocess_exec(*PROGRAM, stdin=asyncio.subprocess.PIPE, cwd=FOLDER)
        self._process = process
        assert process.stdin is not None, "it is a pipe"
        process.stdin.write(pickle.dumps(self._given))
        return await process.wait()
