"""The HTTP routes, and the stream for servers other than the gateway's own."""

import time
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

from src.common.subscription import Subscription
from src.gateway import __version__
from src.gateway.admission.caller import Caller
from src.gateway.admission.cors import Cors
from src.gateway.console_files import ConsoleFiles
from src.gateway.descriptions.asyncapi import asyncapi
from src.gateway.exporter import CONTENT_TYPE, Exporter
from src.gateway.goodbyes import NOT_UPGRADED, Refusal
from src.gateway.head_count import HeadCount
from src.gateway.socket_broadcaster import SocketBroadcaster

STREAM_PATH: Final = "/ws/stream"
PATHS_FOR_PAGES: Final = ("/health", "/ready", "/snapshot")


class SubscriptionHealth(BaseModel):
    """One subject's subscription."""

    live: bool
    trouble: Annotated[str | None, Field(description="why it is not live")]
    received: Annotated[int, Field(description="messages since the start")]
    rejected: Annotated[dict[str, int], Field(description="bad messages since the start, by reason")]
    non_finite: Annotated[int, Field(description="bare NaN and Infinity read as null since the start")]
    consumer_lag: Annotated[int, Field(description="messages not delivered yet (num_pending)")]
    last_message_ts: Annotated[int | None, Field(description="arrival of the newest message, ms UTC")]
    rebinds: Annotated[int, Field(description="times that its consumer had to be made anew")]


class WorkerHealth(BaseModel):
    """The processes that serve the port."""

    configured: Annotated[int, Field(description="how many there should be")]
    live: Annotated[int, Field(description="how many work")]


class ViewersHealth(BaseModel):
    """The viewers of the worker that answers."""

    accepted: Annotated[int, Field(description="let in since the start")]
    closed: Annotated[dict[str, int], Field(description="closed by the gateway since the start, by close code")]
    left: Annotated[dict[str, int], Field(description="gone by themselves since the start, by close code")]
    behind: Annotated[int, Field(description="connected now and taking nothing")]
    frames_skipped: Annotated[int, Field(description="frames that slow viewers were never sent since the start")]


class Health(BaseModel):
    """The process that answers, its connection to NATS, and what it relays; with the viewers of all workers."""

    service: str
    status: Annotated[
        str, Field(description="healthy, or degraded while a part of the way from NATS is down or a worker is missing")
    ]
    nats_url: Annotated[str, Field(description="without user names, passwords and tokens")]
    connections: Annotated[int, Field(description="viewers connected now, to all workers")]
    workers: WorkerHealth
    viewers: ViewersHealth
    state_age_s: Annotated[dict[str, float], Field(description="since the message of each known section arrived")]
    loop_lag_s: Annotated[float, Field(description="the latest that the event loop was in the last minute")]
    nats_connected: bool
    nats_trouble: Annotated[str | None, Field(description="why not")]
    last_message_ts: Annotated[int | None, Field(description="arrival of the newest message of any subject, ms UTC")]
    consumer_lag: Annotated[int, Field(description="messages not delivered yet, all subjects")]
    reconnects: Annotated[int, Field(description="connections to NATS after the first")]
    refused: Annotated[dict[str, int], Field(description="requests refused since the start, by reason")]
    faults: Annotated[dict[str, int], Field(description="bad parts left out of good messages since the start")]
    subscriptions: Annotated[dict[str, SubscriptionHealth], Field(description="by subject")]


class Readiness(BaseModel):
    """Whether the newest state can be had here now."""

    ready: bool
    reasons: Annotated[list[str], Field(description="what is missing; empty when ready")]


def make_app(
    broadcaster: SocketBroadcaster, head_count: HeadCount | None = None, exporter: Exporter | None = None
) -> FastAPI:
    """The ASGI application around a broadcaster that somebody else starts and closes.

    Args:
        broadcaster: whose state and viewers the routes tell of.
        head_count: where the other workers report; by default there are none.
        exporter: what `/metrics` says; by default of this process alone. There is none where the settings say so.
    """
    head_count = head_count or HeadCount()
    exporter = exporter or Exporter(broadcaster, head_count)
    door = broadcaster.door
    app = FastAPI(
        title="Spymaster Gateway",
        version=__version__,
        description=f"Live market state. The stream itself is a WebSocket at `{STREAM_PATH}`.",
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to whatever host the request named
    )
    app.add_middleware(Cors, origins=door.origins, paths=PATHS_FOR_PAGES)

    async def may_read(request: Request) -> None:
        """For each route that gives the state away."""
        refusal = await door.may_read(_caller(request))
        if refusal is not None:
            raise HTTPException(refusal.status, refusal.detail, refusal.headers)

    @app.head("/health", include_in_schema=False)
    @app.get("/health")
    async def health() -> Health:
        """200 while the process works; `status` says how well."""
        return _health(broadcaster, head_count)

    @app.head("/ready", include_in_schema=False)
    @app.get("/ready", responses={503: {"model": Readiness}})
    async def ready(response: Response) -> Readiness:
        """200 only while NATS is connected and every subscription is live, else 503 with the reasons."""
        reasons = _missing(broadcaster)
        response.status_code = 503 if reasons else 200
        return Readiness(ready=not reasons, reasons=reasons)

    @app.get(
        "/snapshot",
        response_class=Response,
        responses={200: {"content": {"application/json": {}}}, 204: {}, 401: {}},
        dependencies=[Depends(may_read)],
    )
    async def snapshot() -> Response:
        """The current payload, as the stream would send it first; 204 while there is none."""
        newest = broadcaster.hub.newest
        if newest is None:
            return Response(status_code=204)
        return Response(newest.payload, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def metrics() -> Response:
        """Counts and times of all workers, for Prometheus."""
        return Response(await exporter.page(), media_type=CONTENT_TYPE)

    if broadcaster.settings.metrics == "on":
        app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})(metrics)

    @app.get("/asyncapi.json", include_in_schema=False)
    async def stream_description() -> JSONResponse:
        return JSONResponse(describe_stream())

    @app.get(STREAM_PATH, status_code=426, include_in_schema=False)
    async def not_upgraded() -> JSONResponse:
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}  # RFC 9110 §15.5.22
        door.count(NOT_UPGRADED)
        return JSONResponse({"detail": NOT_UPGRADED.detail}, NOT_UPGRADED.status, headers)

    @app.websocket(STREAM_PATH)
    async def stream(websocket: WebSocket) -> None:
        entry = await door.enter_soon(_caller(websocket))
        if isinstance(entry, Refusal):
            await _deny(websocket, entry)
            return
        try:
            await broadcaster.connect(websocket, entry)
            while True:
                await websocket.receive()
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: received again after the disconnect message
            pass
        finally:
            await broadcaster.disconnect(websocket)
            entry.release()

    console = ConsoleFiles()

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def console_page(request: Request) -> Response:
        return console.page.answer(request)

    @app.head("/assets/{name}", include_in_schema=False)
    @app.get("/assets/{name}", include_in_schema=False)
    async def console_asset(request: Request, name: str) -> Response:
        asset = console.assets.get(name)
        return await not_found(request, None) if asset is None else asset.answer(request)

    @app.exception_handler(404)
    async def not_found(request: Request, _error: Any) -> JSONResponse:
        return JSONResponse({"detail": f"nothing at {request.url.path}; see /docs"}, 404)

    return app


def describe_stream() -> dict[str, Any]:
    """The stream as an AsyncAPI document."""
    return asyncapi(STREAM_PATH, __version__)


def _caller(request: HTTPConnection) -> Caller:
    address = request.client.host if request.client is not None else ""
    return Caller(address, request.scope["query_string"].decode("latin-1"), request.headers.getlist)


async def _deny(websocket: WebSocket, refusal: Refusal) -> None:
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        answer = JSONResponse({"detail": refusal.detail}, refusal.status, refusal.headers)
        await websocket.send_denial_response(answer)
    else:
        await websocket.close()  # before it is accepted, that is a 403 (ASGI specification)


def _health(broadcaster: SocketBroadcaster, head_count: HeadCount) -> Health:
    bus, hub, metrics = broadcaster.bus, broadcaster.hub, broadcaster.metrics
    head_count.report(len(hub.peers))
    workers = WorkerHealth(configured=head_count.configured, live=head_count.live)
    subscriptions = {one.subject: _subscription_health(one) for one in bus.subscriptions}
    arrivals = [one.last_message_ts for one in subscriptions.values() if one.last_message_ts is not None]
    return Health(
        service="gateway",
        status="degraded" if _missing(broadcaster) or workers.live < workers.configured else "healthy",
        nats_url=bus.url,
        connections=head_count.viewers,
        workers=workers,
        viewers=ViewersHealth(
            accepted=hub.joined,
            closed={str(code): count for code, count in hub.closings.items()},
            left=dict(hub.departures),
            behind=hub.behind,
            frames_skipped=hub.skipped,
        ),
        state_age_s={name: round(age_s, 3) for name, age_s in metrics.state_age_s(time.monotonic()).items()},
        loop_lag_s=round(metrics.loop_lag.recent_max_s, 4),
        nats_connected=bus.is_connected,
        nats_trouble=bus.trouble,
        last_message_ts=max(arrivals, default=None),
        consumer_lag=sum(one.consumer_lag for one in subscriptions.values()),
        reconnects=bus.reconnects,
        refused=dict(broadcaster.door.refused),
        faults=dict(metrics.faults),
        subscriptions=subscriptions,
    )


def _subscription_health(subscription: Subscription) -> SubscriptionHealth:
    arrival_s = subscription.last_message_s
    return SubscriptionHealth(
        live=subscription.trouble is None,
        trouble=subscription.trouble,
        received=subscription.received,
        rejected=dict(subscription.rejected),
        non_finite=subscription.non_finite,
        consumer_lag=subscription.lag,
        last_message_ts=None if arrival_s is None else int(arrival_s * 1000),
        rebinds=subscription.rebinds,
    )


def _missing(broadcaster: SocketBroadcaster) -> list[str]:
    """What stands between NATS and the viewers right now, in words."""
    bus = broadcaster.bus
    reasons = ["stopping"] if broadcaster.hub.is_closing else []
    if not bus.is_connected:
        reasons.append(f"not connected to {bus.url}: {bus.trouble}")
    reasons += [f"{one.subject}: {one.trouble}" for one in bus.subscriptions if one.trouble is not None]
    if not bus.subscriptions:
        reasons.append("not subscribed yet")
    if broadcaster.door.trouble is not None:
        reasons.append(broadcaster.door.trouble)
    return reasons
