"""`GET /health` and `GET /ready`: how the process works, and whether the newest state can be had here."""

import time
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from src.common.bus import NATSBus
from src.common.subscription import Subscription
from src.gateway.history.client import HistoryClient
from src.gateway.processes.viewer_count import ViewerCount
from src.gateway.signals.causes import CAUSES
from src.gateway.socket_broadcaster import SocketBroadcaster

REDIAL_GRACE_S: Final = 2.0  # for another server to be dialled: when one dies, its gateways stay in the balancer


class SubscriptionHealth(BaseModel):
    """One subject's subscription."""

    live: Annotated[bool, Field(description="whether JetStream or core NATS brings it")]
    path: Annotated[
        str | None, Field(description="by which the newest message came first: core or jetstream; null: none yet")
    ]
    trouble: Annotated[str | None, Field(description="why JetStream does not bring it")]
    core_trouble: Annotated[str | None, Field(description="why core NATS does not bring it")]
    mirror_trouble: Annotated[
        str | None, Field(description="why its last message is not kept beyond its stream, with what to do")
    ]
    received: Annotated[int, Field(description="messages since the start, copies left out")]
    stragglers: Annotated[int, Field(description="late messages dropped since the start: a newer one was there")]
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
    one_at_a_time: Annotated[int, Field(description="connected now and sent a frame only when the one before arrived")]
    worst_age_s: Annotated[
        float | None,
        Field(description="at most how old the newest frame at any viewer was on arrival; null: not known"),
    ]
    frames_skipped: Annotated[int, Field(description="frames that slow viewers were never sent since the start")]


class HistoryHealth(BaseModel):
    """The past, as the history process has it."""

    connected: Annotated[bool, Field(description="whether the history process answers")]
    complete: Annotated[bool, Field(description="whether it has read the stream back to its oldest message")]
    oldest_message_ts: Annotated[
        int | None, Field(description="Core's time from which on all has been read, ms UTC; null: not known")
    ]
    events: Annotated[int, Field(description="kept now")]


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
    verdicts: Annotated[dict[str, str], Field(description="of each known section: live, late, stale, closed, replay")]
    cause: Annotated[str | None, Field(description="why not all is live, in a word; null when it is")]
    explanation: Annotated[str | None, Field(description="the same in a sentence")]
    what_to_do: Annotated[str | None, Field(description="about it; null where there is nothing to do")]
    market: Annotated[str, Field(description="the hours of the market of `GATEWAY_MARKET`, in words")]
    nats_connected: bool
    nats_server: Annotated[str | None, Field(description="the server that it is connected to; null while to none")]
    nats_trouble: Annotated[str | None, Field(description="why not")]
    last_message_ts: Annotated[int | None, Field(description="arrival of the newest message of any subject, ms UTC")]
    consumer_lag: Annotated[int, Field(description="messages not delivered yet, all subjects")]
    reconnects: Annotated[int, Field(description="connections to NATS after the first")]
    refused: Annotated[dict[str, int], Field(description="requests refused since the start, by reason")]
    faults: Annotated[dict[str, int], Field(description="bad parts left out of good messages since the start")]
    subscriptions: Annotated[dict[str, SubscriptionHealth], Field(description="by subject")]
    history: Annotated[HistoryHealth | None, Field(description="the past; null with GATEWAY_HISTORY=off")]


class Readiness(BaseModel):
    """Whether the newest state can be had here now."""

    ready: bool
    reasons: Annotated[list[str], Field(description="what is missing, with its cause and details; empty when ready")]


def health_router(broadcaster: SocketBroadcaster, viewer_count: ViewerCount) -> APIRouter:
    """`/health` for people and process monitors, `/ready` for load balancers."""
    router = APIRouter()

    @router.head("/health", include_in_schema=False)
    @router.get("/health")
    async def health() -> Health:
        """200 while the process works; `status` says how well."""
        return _health(broadcaster, viewer_count)

    @router.head("/ready", include_in_schema=False)
    @router.get("/ready", responses={503: {"model": Readiness}})
    async def ready(request: Request, response: Response) -> Readiness:
        """200 while every subscription is live, by JetStream or by core NATS; else 503 with the reasons.

        A connection to NATS that was lost counts after 2 s: another server is dialled meanwhile.

        With `stale=ok`, NATS does not count once there is a state: for a balancer without a better gateway to turn to.
        """
        reasons = _not_ready_reasons(broadcaster, accepts_stale=request.query_params.get("stale") == "ok")
        response.status_code = 503 if reasons else 200
        return Readiness(ready=not reasons, reasons=reasons)

    return router


def _health(broadcaster: SocketBroadcaster, viewer_count: ViewerCount) -> Health:
    bus, hub, metrics = broadcaster.bus, broadcaster.hub, broadcaster.metrics
    viewer_count.report(len(hub.peers))
    workers = WorkerHealth(configured=viewer_count.configured, live=viewer_count.live)
    subscriptions = {one.subject: _subscription_health(one) for one in bus.subscriptions}
    judgement = broadcaster.live_status.judge()
    cause = None if judgement.cause is None else CAUSES[judgement.cause]
    worst_age_s = hub.worst_age_s(time.monotonic())
    arrivals = [one.last_message_ts for one in subscriptions.values() if one.last_message_ts is not None]
    return Health(
        service="gateway",
        status="healthy" if _is_healthy(broadcaster, workers) else "degraded",
        nats_url=bus.url,
        connections=viewer_count.viewers,
        workers=workers,
        viewers=ViewersHealth(
            accepted=hub.joined,
            closed={str(code): count for code, count in hub.closed.items()},
            left=dict(hub.left),
            behind=hub.behind,
            one_at_a_time=hub.one_at_a_time,
            worst_age_s=None if worst_age_s is None else round(worst_age_s, 3),
            frames_skipped=hub.skipped,
        ),
        state_age_s={name: round(age_s, 3) for name, age_s in metrics.state_age_s(time.monotonic()).items()},
        loop_lag_s=round(hub.loop_lag.recent_max_s, 4),
        verdicts=dict(judgement.verdicts),
        cause=judgement.cause,
        explanation=None if cause is None else cause.sentence,
        what_to_do=None if cause is None else cause.what_to_do or None,
        market=broadcaster.live_status.market_sentence,
        nats_connected=bus.is_connected,
        nats_server=bus.server,
        nats_trouble=bus.trouble,
        last_message_ts=max(arrivals, default=None),
        consumer_lag=sum(one.consumer_lag for one in subscriptions.values()),
        reconnects=bus.reconnects,
        refused=dict(broadcaster.admission_control.refused),
        faults=dict(metrics.faults),
        subscriptions=subscriptions,
        history=None if broadcaster.history is None else _history_health(broadcaster.history),
    )


def _history_health(history: HistoryClient) -> HistoryHealth:
    progress = history.progress
    return HistoryHealth(
        connected=history.is_connected,
        complete=progress is not None and progress.complete,
        oldest_message_ts=None if progress is None else progress.oldest_ms,
        events=0 if progress is None else progress.events,
    )


def _subscription_health(subscription: Subscription) -> SubscriptionHealth:
    arrival_s = subscription.last_message_s
    return SubscriptionHealth(
        live=subscription.is_live,
        path=subscription.path,
        trouble=subscription.trouble,
        core_trouble=subscription.core_trouble,
        mirror_trouble=subscription.mirror_trouble,
        received=subscription.received,
        stragglers=subscription.stragglers,
        rejected=dict(subscription.rejected),
        non_finite=subscription.non_finite,
        consumer_lag=subscription.lag,
        last_message_ts=None if arrival_s is None else int(arrival_s * 1000),
        rebinds=subscription.rebinds,
    )


def _is_healthy(broadcaster: SocketBroadcaster, workers: WorkerHealth) -> bool:
    """Whether all of it works: JetStream too, also while core NATS alone would do."""
    has_jetstream = broadcaster.bus.is_connected and all(one.trouble is None for one in broadcaster.bus.subscriptions)
    return not _not_ready_reasons(broadcaster) and has_jetstream and workers.live >= workers.configured


def _not_ready_reasons(broadcaster: SocketBroadcaster, *, accepts_stale: bool = False) -> list[str]:
    """Each part of the way from NATS to the viewers that does not work now."""
    reasons = [_told("gateway_draining")] if broadcaster.is_stopping else []
    if broadcaster.admission_control.trouble is not None:
        reasons.append(broadcaster.admission_control.trouble)
    has_state = bool(broadcaster.live_status.stream.sections)
    return reasons if accepts_stale and has_state else reasons + _nats_reasons(broadcaster.bus)


def _nats_reasons(bus: NATSBus) -> list[str]:
    if 0.0 < bus.outage_s < REDIAL_GRACE_S and bus.subscriptions:
        return []
    reasons = [] if bus.is_connected else [_told("nats_down", f"{bus.url}: {bus.trouble}")]
    reasons += [
        _told("subscription_lost", f"{one.subject}: {one.trouble}") for one in bus.subscriptions if not one.is_live
    ]
    if not bus.subscriptions:
        reasons.append(_told("subscription_lost", "None is there yet."))
    return reasons


def _told(cause: str, detail: str = "") -> str:
    """In the words of the table, and what is known besides."""
    return f"{cause}: {CAUSES[cause].sentence} {detail}".rstrip()
