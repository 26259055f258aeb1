"""`GET /metrics`: every count of the gateway as a Prometheus metric, each a row of `FAMILIES`.

This module keeps no count. A scrape reads the counts of the worker that it reaches and, by `worker_messages.py`, those
of the others. Each sample of a worker has the label `worker`, so no counter mixes two processes.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from src.common.arrivals import CORE, JETSTREAM
from src.common.messages import REASONS
from src.common.subscription import Subscription
from src.gateway import __version__
from src.gateway.close_codes import LEFT_CODES, OWN_CLOSE_CODES, PROTOCOL_ERROR_CODES
from src.gateway.history.messages import Progress
from src.gateway.metrics import FAULTS, Histogram
from src.gateway.processes.viewer_count import ViewerCount
from src.gateway.processes.worker_messages import WorkerMessages
from src.gateway.refusals import REFUSAL_NAMES
from src.gateway.signals.causes import CAUSES
from src.gateway.socket_broadcaster import SocketBroadcaster

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
CLOSE_CODES: Final = (*PROTOCOL_ERROR_CODES, *(close_code.code for close_code in OWN_CLOSE_CODES))
FORMS: Final = ("plain", "deflate", "deflate_dictionary", "text")
OUTCOMES: Final = ("relayed", "repeated", "straggler", *REASONS, "callback_failed")

Kind = Literal["counter", "gauge", "histogram"]
Reading = float | Histogram | Mapping[Any, float] | None
"""One number, or one for each value of the label (a tuple where there are two labels); None: not known yet."""


class Family(NamedTuple):
    """One metric.

    Attributes:
        name: as it is exported; a counter's ends in `_total`.
        kind: its type.
        labels: those beside `worker`.
        help: its help text.
        read: what it is now.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    read: Callable[[SocketBroadcaster], Reading]


class MetricsPage:
    """The page of one worker, and of all workers."""

    def __init__(
        self,
        broadcaster: SocketBroadcaster,
        viewer_count: ViewerCount | None = None,
        worker_messages: WorkerMessages | None = None,
    ) -> None:
        """
        Args:
            broadcaster: the source of the counts.
            viewer_count: where all workers report; by default there are no others.
            worker_messages: the other workers; by default there are none.
        """
        self._broadcaster = broadcaster
        self._viewer_count = viewer_count or ViewerCount()
        self._worker_messages = worker_messages or WorkerMessages()
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)

    def own(self) -> bytes:
        """The page of this worker alone."""
        return generate_latest(_Page(self._own_metrics()))

    async def text(self) -> bytes:
        """The page of all workers, as Prometheus reads it; without a worker that hangs."""
        pages = {self._worker_messages.own: self.own(), **await self._worker_messages.ask()}
        of_all = generate_latest(_Page(self._of_all()))
        return of_all + merged([pages[worker] for worker in sorted(pages)])

    def _own_metrics(self) -> Iterator[Metric]:
        worker = {"worker": str(self._worker_messages.own)}
        for family in FAMILIES:
            metric = Metric(family.name.removesuffix("_total"), family.help, family.kind)
            for name, labels, value in _samples(family, family.read(self._broadcaster)):
                metric.add_sample(name, {**labels, **worker}, value)
            yield metric
        for metric in self._process.collect():
            metric.samples = [sample._replace(labels={**sample.labels, **worker}) for sample in metric.samples]
            yield metric

    def _of_all(self) -> Iterator[Metric]:
        self._viewer_count.report(len(self._broadcaster.hub.peers))
        for name, help_text, read in WORKER_FAMILIES:
            metric = Metric(name, help_text, "gauge")
            metric.add_sample(name, {}, read(self._viewer_count))
            yield metric


def metrics_router(page: MetricsPage) -> APIRouter:
    """`GET /metrics`."""
    router = APIRouter()

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Counts and times of all workers, for Prometheus."""
        return Response(await page.text(), media_type=CONTENT_TYPE)

    return router


class _Page(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def merged(pages: Sequence[bytes]) -> bytes:
    """One page with all samples of a metric together, as the format demands.

    Args:
        pages: each a text in which a metric is its `# HELP` line, its `# TYPE` line and its samples.
    """
    samples: dict[bytes, list[bytes]] = {}
    for page in pages:
        for block in (b"\n" + page).split(b"\n# HELP ")[1:]:
            help_text, kind, *lines = block.rstrip(b"\n").split(b"\n")
            samples.setdefault(b"# HELP %b\n%b" % (help_text, kind), []).extend(lines)
    return b"".join(b"%b\n" % line for head, lines in samples.items() for line in (head, *lines))


Sample = tuple[str, dict[str, str], float]
"""Name, labels, value."""


def _samples(family: Family, reading: Reading) -> Iterator[Sample]:
    if isinstance(reading, Histogram):
        yield from _histogram_samples(family.name, reading)
    elif isinstance(reading, Mapping):
        for values, number in reading.items():
            texts = map(str, values if isinstance(values, tuple) else (values,))
            yield family.name, dict(zip(family.labels, texts, strict=True)), number
    elif reading is not None:
        yield family.name, {}, reading


def _histogram_samples(name: str, histogram: Histogram) -> Iterator[Sample]:
    """Cumulative, as the format wants them."""
    counted = 0
    for bound, count in zip((*map(float, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        counted += count
        yield f"{name}_bucket", {"le": str(bound)}, counted
    yield f"{name}_count", {}, counted
    yield f"{name}_sum", {}, histogram.total


# -- sources -----------------------------------------------------------------------------------------------------------
# A label with known values starts with all of them at 0: Prometheus sees no increase from none to 1.


def _by_subject(read: Callable[[Subscription], float]) -> Callable[[SocketBroadcaster], Reading]:
    return lambda gateway: {one.subject: read(one) for one in gateway.bus.subscriptions}


def _paths(gateway: SocketBroadcaster) -> Reading:
    live: dict[tuple[str, str], float] = {}
    for one in gateway.bus.subscriptions:
        live |= {(one.subject, CORE): one.core_trouble is None, (one.subject, JETSTREAM): one.trouble is None}
    return live


def _outcomes(gateway: SocketBroadcaster) -> Reading:
    counts: dict[tuple[str, str], float] = {}
    for one in gateway.bus.subscriptions:
        by_outcome = {**dict.fromkeys(OUTCOMES, 0), **one.rejected, "relayed": one.delivered}
        by_outcome |= {"repeated": one.repeated, "straggler": one.stragglers}
        counts |= {(one.subject, outcome): count for outcome, count in by_outcome.items()}
    return counts


def _payload_bytes(gateway: SocketBroadcaster) -> Reading:
    newest = gateway.hub.newest
    return None if newest is None else len(newest.payload)


def _history(gateway: SocketBroadcaster, read: Callable[[Progress], float | None]) -> float | None:
    progress = None if gateway.history is None else gateway.history.progress
    return None if progress is None else read(progress)


def _causes(gateway: SocketBroadcaster) -> dict[str, float]:
    true = gateway.live_status.judge().cause
    return {cause: int(cause == true) for cause in CAUSES}


def _compression_ratio(gateway: SocketBroadcaster) -> Reading:
    newest = gateway.hub.newest
    return None if newest is None else newest.compression_ratio


FAMILIES: Final = (
    # what traders get
    Family(
        "gateway_state_age_seconds",
        "gauge",
        ("section",),
        "Time since the message arrived that each known section comes from.",
        lambda gateway: gateway.metrics.state_age_s(time.monotonic()),
    ),
    Family(
        "gateway_publish_to_fan_out_seconds",
        "histogram",
        (),
        "Time from a message's publication, by the clock of NATS, to the end of the fan-out that told of it.",
        lambda gateway: gateway.hub.counters.latency,
    ),
    Family(
        "gateway_normalization_seconds",
        "histogram",
        (),
        "Time to put a levels message into the frontend's terms.",
        lambda gateway: gateway.metrics.normalization,
    ),
    Family(
        "gateway_fan_out_seconds",
        "histogram",
        (),
        "Time to send one frame to every viewer that is ready, compression included.",
        lambda gateway: gateway.hub.counters.fan_out,
    ),
    Family(
        "gateway_payload_bytes",
        "gauge",
        (),
        "Size of the newest payload, uncompressed.",
        _payload_bytes,
    ),
    Family(
        "gateway_compression_ratio",
        "gauge",
        (),
        "Compressed size of the newest frame by its plain size; absent while no viewer takes it compressed.",
        _compression_ratio,
    ),
    Family(
        "gateway_section_verdict",
        "gauge",
        ("section", "verdict"),
        "1 for the verdict of each known section.",
        lambda gateway: dict.fromkeys(gateway.live_status.judge().verdicts.items(), 1),
    ),
    Family(
        "gateway_cause",
        "gauge",
        ("cause",),
        "1 for the reason why not all is live.",
        _causes,
    ),
    Family(
        "gateway_market_open",
        "gauge",
        (),
        "1 while the market of GATEWAY_MARKET is open.",
        lambda gateway: int(gateway.live_status.judge().is_open),
    ),
    # the past
    Family(
        "gateway_history_connected",
        "gauge",
        (),
        "1 while the history process answers; absent with GATEWAY_HISTORY=off.",
        lambda gateway: None if gateway.history is None else int(gateway.history.is_connected),
    ),
    Family(
        "gateway_history_complete",
        "gauge",
        (),
        "1 once the history process has read the stream back to its oldest message.",
        lambda gateway: _history(gateway, lambda progress: int(progress.complete)),
    ),
    Family(
        "gateway_history_events",
        "gauge",
        (),
        "Events that the history process keeps.",
        lambda gateway: _history(gateway, lambda progress: progress.events),
    ),
    Family(
        "gateway_history_oldest_message_timestamp_seconds",
        "gauge",
        (),
        "When NATS took the oldest message that the history process has read.",
        lambda gateway: _history(
            gateway, lambda progress: None if progress.oldest_ms is None else progress.oldest_ms / 1000
        ),
    ),
    # viewers
    Family(
        "gateway_shapes",
        "gauge",
        (),
        "Shapes that viewers ask for now, beside the whole payload.",
        lambda gateway: len(gateway.hub.channels),
    ),
    Family("gateway_viewers", "gauge", (), "Viewers connected now.", lambda gateway: len(gateway.hub.peers)),
    Family(
        "gateway_viewers_behind",
        "gauge",
        (),
        "Those of them that take nothing right now.",
        lambda gateway: gateway.hub.behind,
    ),
    Family(
        "gateway_viewers_one_at_a_time",
        "gauge",
        (),
        "Those that are sent a frame only when the one before has arrived: new ones, and those on slow lines.",
        lambda gateway: gateway.hub.one_at_a_time,
    ),
    Family(
        "gateway_viewer_age_seconds",
        "histogram",
        (),
        "At most how old a frame was when it arrived at a viewer: from a ping behind it to the pong.",
        lambda gateway: gateway.hub.counters.viewer_age,
    ),
    Family(
        "gateway_viewers_accepted_total",
        "counter",
        (),
        "Viewers that were let in.",
        lambda gateway: gateway.hub.joined,
    ),
    Family(
        "gateway_refused_total",
        "counter",
        ("reason",),
        "Requests and sockets that were refused, most of them by who wanted to be a viewer.",
        lambda gateway: {**dict.fromkeys(REFUSAL_NAMES, 0), **gateway.admission_control.refused},
    ),
    Family(
        "gateway_viewers_closed_total",
        "counter",
        ("code",),
        "Viewers that the gateway closed, by close code.",
        lambda gateway: {**dict.fromkeys(CLOSE_CODES, 0), **gateway.hub.closed},
    ),
    Family(
        "gateway_viewers_left_total",
        "counter",
        ("code",),
        "Viewers that left by themselves, by close code; 1006 without a word.",
        lambda gateway: {**dict.fromkeys(LEFT_CODES, 0), **gateway.hub.left},
    ),
    Family(
        "gateway_frames_sent_total",
        "counter",
        (),
        "Frames sent, each counted for each viewer.",
        lambda gateway: gateway.hub.counters.sent.total(),
    ),
    Family(
        "gateway_sent_bytes_total",
        "counter",
        (),
        "Bytes of the frames sent, as they go to the socket.",
        lambda gateway: gateway.hub.counters.sent_bytes.total(),
    ),
    Family(
        "gateway_frames_sent_by_form_total",
        "counter",
        ("form",),
        "Frames sent, by form: plain, deflate, deflate_dictionary (after the viewer's last frame), text.",
        lambda gateway: {**dict.fromkeys(FORMS, 0), **gateway.hub.counters.sent},
    ),
    Family(
        "gateway_sent_bytes_by_form_total",
        "counter",
        ("form",),
        "Bytes of the frames sent, by form.",
        lambda gateway: {**dict.fromkeys(FORMS, 0), **gateway.hub.counters.sent_bytes},
    ),
    Family(
        "gateway_frames_skipped_total",
        "counter",
        (),
        "Frames that slow viewers were never sent, counted when they take a newer one.",
        lambda gateway: gateway.hub.skipped,
    ),
    # NATS
    Family(
        "gateway_nats_connected",
        "gauge",
        (),
        "1 while connected to NATS.",
        lambda gateway: int(gateway.bus.is_connected),
    ),
    Family(
        "gateway_nats_reconnects_total",
        "counter",
        (),
        "Connections to NATS after the first.",
        lambda gateway: gateway.bus.reconnects,
    ),
    Family(
        "gateway_subscription_live",
        "gauge",
        ("subject",),
        "1 while messages of the subject arrive.",
        _by_subject(lambda subscription: int(subscription.is_live)),
    ),
    Family(
        "gateway_subscription_path_live",
        "gauge",
        ("subject", "path"),
        "1 while the path, core NATS or JetStream, brings messages of the subject.",
        _paths,
    ),
    Family(
        "gateway_subscription_rebinds_total",
        "counter",
        ("subject",),
        "Times that the consumer had to be made anew.",
        _by_subject(lambda subscription: subscription.rebinds),
    ),
    Family(
        "gateway_consumer_lag_messages",
        "gauge",
        ("subject",),
        "Messages that NATS has not delivered yet (num_pending).",
        _by_subject(lambda subscription: subscription.lag),
    ),
    Family(
        "gateway_message_copies_total",
        "counter",
        ("subject",),
        "Messages that came a second time, by the other path, and were dropped.",
        _by_subject(lambda subscription: subscription.copies),
    ),
    Family(
        "gateway_messages_total",
        "counter",
        ("subject", "outcome"),
        "Messages by what became of them: relayed, repeated (delivered again), "
        "straggler (a newer one was there), or why they were rejected.",
        _outcomes,
    ),
    Family(
        "gateway_faults_total",
        "counter",
        ("fault",),
        "Bad parts that were left out of good messages.",
        lambda gateway: {**dict.fromkeys(FAULTS, 0), **gateway.metrics.faults},
    ),
    Family(
        "gateway_non_finite_numbers_total",
        "counter",
        ("subject",),
        "Bare NaN and Infinity in messages, read as null.",
        _by_subject(lambda subscription: subscription.non_finite),
    ),
    Family(
        "gateway_payloads_unserializable_total",
        "counter",
        (),
        "Payloads that could not be written as JSON and were skipped.",
        lambda gateway: gateway.metrics.unserializable,
    ),
    # the process
    Family(
        "gateway_event_loop_lag_seconds",
        "histogram",
        (),
        "How late the event loop ran what was due, looked at four times a second.",
        lambda gateway: gateway.hub.loop_lag.histogram,
    ),
    Family(
        "gateway_event_loop_lag_max_seconds",
        "gauge",
        (),
        "The longest such lag of the last minute.",
        lambda gateway: gateway.hub.loop_lag.recent_max_s,
    ),
    Family(
        "gateway_tasks",
        "gauge",
        (),
        "Tasks of the event loop. Viewers cost none.",
        lambda _gateway: float(len(asyncio.all_tasks())),
    ),
    Family(
        "gateway_build_info",
        "gauge",
        ("version",),
        "1, labelled with the version that runs.",
        lambda _gateway: {__version__: 1},
    ),
)

WORKER_FAMILIES: Final[tuple[tuple[str, str, Callable[[ViewerCount], int]], ...]] = (
    ("gateway_workers_configured", "Workers that there should be.", lambda viewer_count: viewer_count.configured),
    ("gateway_workers_live", "Workers that work.", lambda viewer_count: viewer_count.live),
)
