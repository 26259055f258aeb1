"""`GET /events` and `GET /history`: the past, as the history process has it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from src.gateway.descriptions.json_schema import SCHEMAS
from src.gateway.history.contract import EventPage, History
from src.gateway.history.event_query import EVENT_PARAMETERS
from src.gateway.history.history_query import HISTORY_PARAMETERS
from src.gateway.http.client_request import may_read
from src.gateway.http.past_answers import PastAnswers
from src.gateway.socket_broadcaster import SocketBroadcaster


def history_router(broadcaster: SocketBroadcaster, answers: PastAnswers) -> APIRouter:
    """The routes ask for the same token as the stream."""
    router = APIRouter(dependencies=[Depends(may_read(broadcaster))])

    @router.get("/events", responses=_answers(EventPage), response_class=Response)
    async def events(
        request: Request,
        since: Annotated[str | None, Query(description=EVENT_PARAMETERS["since"])] = None,
        kinds: Annotated[str | None, Query(description=EVENT_PARAMETERS["kinds"])] = None,
        levels: Annotated[str | None, Query(description=EVENT_PARAMETERS["levels"])] = None,
        limit: Annotated[str | None, Query(description=EVENT_PARAMETERS["limit"])] = None,
    ) -> Response:
        """What happened since the beginning of the stream, which keeps 24 hours; or since a cursor. In pages."""
        return answers.answer(request)

    @router.get("/history", responses=_answers(History), response_class=Response)
    async def history_of_the_day(
        request: Request,
        from_: Annotated[str | None, Query(alias="from", description=HISTORY_PARAMETERS["from"])] = None,
        to: Annotated[str | None, Query(description=HISTORY_PARAMETERS["to"])] = None,
        step: Annotated[str | None, Query(description=HISTORY_PARAMETERS["step"])] = None,
        fields: Annotated[str | None, Query(description=HISTORY_PARAMETERS["fields"])] = None,
        levels: Annotated[str | None, Query(description=HISTORY_PARAMETERS["levels"])] = None,
    ) -> Response:
        """What it looked like: spot, levels and the totals of the flow, in points of equal length."""
        return answers.answer(request)

    return router


def _answers(answer: Any) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: the type of the answer, and the refusals."""
    schema = {"$ref": f"{SCHEMAS}/{answer.__name__}"}
    return {200: {"content": {"application/json": {"schema": schema}}}, 400: {}, 401: {}, 503: {}}
