"""`GET /snapshot`: the current payload by a plain HTTP request."""

from typing import Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from src.gateway.descriptions.shape_schema import shape_schema
from src.gateway.history.replay_query import replay_of_query
from src.gateway.http.client_request import client_request, may_read
from src.gateway.http.past_answers import PastAnswers
from src.gateway.refusals import Refusal
from src.gateway.signals.shape import WrongParameter
from src.gateway.socket_broadcaster import SocketBroadcaster

AT: Final = {
    "type": "string",
    "description": "The state of then, by Core's time: ms since 1970, ISO 8601 with an offset, or like -2h.",
}


def snapshot_router(broadcaster: SocketBroadcaster, answers: PastAnswers) -> APIRouter:
    """`/snapshot` asks for the same token as the stream."""
    router = APIRouter()

    @router.get(
        "/snapshot",
        response_class=Response,
        responses={200: {"content": {"application/json": {}}}, 204: {}, 400: {}, 401: {}},
        dependencies=[Depends(may_read(broadcaster))],
        openapi_extra={
            "parameters": [
                {"name": name, "in": "query", "schema": schema}
                for name, schema in {**shape_schema(in_query=True)["properties"], "at": AT}.items()
            ]
        },
    )
    async def snapshot(request: Request) -> Response:
        """The current payload, as the stream would send it first; 204 while there is none. With `at`, that of then.

        Takes the query parameters of the stream.
        """
        query = client_request(request).query
        if _is_of_the_past(query):
            return answers.answer(request)
        payload = broadcaster.shapes.payload_of(query)
        if isinstance(payload, Refusal):
            raise HTTPException(payload.status, payload.detail)
        if payload is None:
            return Response(status_code=204)
        return Response(payload, media_type="application/json", headers={"Cache-Control": "no-store"})

    return router


def _is_of_the_past(query: str) -> bool:
    try:
        return replay_of_query(query) is not None
    except WrongParameter:
        return True  # the history process says what is wrong
