"""The stream that holds a subject: found by the subject, created where there is none."""

from typing import Final

from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from src.common.connection import BusError, JetStream, NotPermitted, reason
from src.common.subjects import RETENTION_S, STREAMS

NAME_IN_USE: Final = 10058  # nats-server error codes
SUBJECTS_OVERLAP: Final = 10065


async def stream_of(jetstream: JetStreamContext, subject: str) -> StreamInfo | None:
    """The stream that covers `subject`, whatever its name and settings, or None.

    Raises:
        ServiceUnavailableError: JetStream is not there (yet).
    """
    try:
        return await jetstream.stream_info(await jetstream.find_stream_name_by_subject(subject))
    except NotFoundError:
        return None


async def find_or_make_stream(jetstream: JetStream, subject: str) -> StreamInfo:
    """The stream that covers `subject`; one that is missing is made as `STREAMS` says, one that is there is left alone.

    Raises:
        BusError: there is none and it cannot be made; the text says why and what to do.
    """
    found = await stream_of(jetstream, subject)
    if found is not None:
        return found
    if subject not in STREAMS:
        domain = f" --js-domain {jetstream.options.domain}" if jetstream.options.domain else ""
        raise BusError(f"no stream covers {subject}; make one: nats{domain} stream add --subjects {subject}")
    spec = STREAMS[subject]
    config = StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        max_age=RETENTION_S,
        num_replicas=jetstream.options.new_streams.replicas,
        max_bytes=jetstream.options.new_streams.max_bytes,
    )
    try:
        return await jetstream.add_stream(config)
    except ServiceUnavailableError:
        raise
    except NotPermitted as refusal:
        raise BusError(f"stream {spec.name} is missing: make it, or let us make it ({refusal})") from refusal
    except APIError as refusal:
        return await _made_by_another(jetstream, subject, refusal)


async def _made_by_another(jetstream: JetStreamContext, subject: str, refusal: APIError) -> StreamInfo:
    """Two services that start together both create the stream: the second one uses that of the first."""
    found = await stream_of(jetstream, subject)
    if found is not None:
        return found
    name = STREAMS[subject].name
    remedy = {
        NAME_IN_USE: f"stream {name} exists but does not cover {subject}; add that subject to it",
        SUBJECTS_OVERLAP: f"another stream holds part of {name}'s subjects; add {subject} to that stream",
    }
    raise BusError(remedy.get(refusal.err_code or 0, f"cannot make stream {name}: {reason(refusal)}")) from refusal
