"""The stream that holds a subject: named, or else found by the subject and created where there is none."""

from typing import Final

from nats.js.api import RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from src.common.connection import BusError, JetStream, NotPermitted, reason
from src.common.stored_subject import stored_subject
from src.common.subjects import RETENTION_S, STREAM_SETTINGS, STREAMS, JetStreamOptions

NAME_IN_USE: Final = 10058  # nats-server error codes
SUBJECTS_OVERLAP: Final = 10065


async def stream_of(jetstream: JetStream, subject: str) -> StreamInfo | None:
    """The stream that is named for `subject`, else the one that covers it, whatever its name and settings, or None.

    Raises:
        ServiceUnavailableError: JetStream is not there (yet).
    """
    try:
        name = jetstream.options.streams.get(subject) or await jetstream.find_stream_name_by_subject(subject)
        return await jetstream.stream_info(name)
    except NotFoundError:
        return None


async def find_or_make_stream(jetstream: JetStream, subject: str) -> StreamInfo:
    """The stream of `subject`, as `stream_of` finds it. One that is there is left alone.

    One that is missing is made as `STREAMS` says, unless it is named.

    Raises:
        BusError: there is none and it cannot be made; the text says why and what to do.
    """
    found = await stream_of(jetstream, subject)
    if found is not None:
        return found
    if subject in jetstream.options.streams:
        raise BusError(_missing(jetstream.options, subject))
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


def filter_subject(jetstream: JetStream, subject: str, stream: StreamInfo) -> str | None:
    """What a consumer that wants `subject` has to ask `stream` for; None: all that it has.

    Raises:
        BusError: another subject has the same stream, and its configuration does not tell them apart.
    """
    named = jetstream.options.streams
    if subject not in named:
        return subject
    kept = stored_subject(stream.config, subject)
    if kept is None and list(named.values()).count(named[subject]) > 1:
        settings = " and ".join(STREAM_SETTINGS[each] for each in named)
        raise BusError(f"{settings} name the stream {named[subject]}, which does not tell their subjects apart")
    return kept


def _missing(options: JetStreamOptions, subject: str) -> str:
    domain = f" in domain {options.domain}" if options.domain else ""
    return f"stream {options.streams[subject]} is missing{domain}: make it, or correct {STREAM_SETTINGS[subject]}"


async def _made_by_another(jetstream: JetStream, subject: str, refusal: APIError) -> StreamInfo:
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
