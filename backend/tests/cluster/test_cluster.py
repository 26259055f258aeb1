"""Each fault of a cluster, in short; `make cluster` has the long form."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.cluster.faults import FAULTS
from tests.cluster.run import Stage, stage, through

LASTS_S = 4.0
VIEWERS = 6


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("cluster"), VIEWERS) as found:
        yield found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_shows_anything_old_and_every_viewer_is_live_again(live_stage: Stage, fault: str) -> None:
    """How long a gap is, `make cluster` measures; here a busy machine may take its time."""
    row = await through(live_stage, fault, LASTS_S)
    assert row.older_after_newer == 0
    assert row.not_ready == 0
