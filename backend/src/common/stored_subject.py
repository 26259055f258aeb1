"""Under which subject a stream keeps the messages of another one. Values only.

A mirror or a source may store what it copies under another subject, and a stream what is published to it (subject
transforms, nats-server 2.10). The server takes any filter for a consumer of such a stream: a wrong one brings nothing.
"""

import re
from typing import Final, NamedTuple

from nats.js.api import StreamConfig, StreamSource, SubjectTransform

WILDCARD: Final = re.compile(r"\$(\d+)|\{\{\s*wildcard\s*\(\s*(\d+)\s*\)\s*\}\}", re.IGNORECASE)
REST: Final = ">"


def stored_subject(config: StreamConfig, subject: str) -> str | None:
    """The subject that the stream keeps the messages of `subject` under.

    None where its configuration tells none, or several: then nothing else may be in it.
    """
    sources = [source for source in (config.mirror, *(config.sources or ())) if source is not None]
    taken: set[str | None] = {subject} if any(covers(pattern, subject) for pattern in config.subjects or ()) else set()
    taken = taken.union(*(_brought_as(source, subject) for source in sources))
    own = config.subject_transform
    kept = {_transformed(own, one) if own and one and covers(own.src or REST, one) else one for one in taken}
    return kept.pop() if len(kept) == 1 else None


def covers(pattern: str, subject: str) -> bool:
    """Whether a subject with wildcards covers one without."""
    return _captured(pattern, subject) is not None


class _Captured(NamedTuple):
    """What stands for the wildcards of a pattern: a token for each `*`, and the rest for `>`."""

    tokens: list[str]
    rest: list[str]


def _brought_as(source: StreamSource, subject: str) -> set[str | None]:
    """The subject under which it brings them; None where only the server can tell; empty where it does not."""
    transforms = source.subject_transforms or []
    if not transforms:
        return {subject} if covers(source.filter_subject or REST, subject) else set()
    for transform in transforms:
        if covers(transform.src or REST, subject):
            return {_transformed(transform, subject)}
    made = [".".join("*" if token[:1] in "${" else token for token in _tokens(one.dest)) for one in transforms]
    return {subject} if any(covers(pattern, subject) for pattern in made) else set()


def _transformed(transform: SubjectTransform, subject: str) -> str | None:
    """None where the transform uses another function than that of a wildcard."""
    captured = _captured(transform.src or REST, subject)
    assert captured is not None, "covered before transformed"
    made: list[str] = []
    for token in _tokens(transform.dest):
        if token == REST:
            made += captured.rest
        elif wildcard := WILDCARD.fullmatch(token):
            made.append(captured.tokens[int(wildcard[1] or wildcard[2]) - 1])
        elif token.startswith(("{{", "$")):
            return None
        else:
            made.append(token)
    return ".".join(made)


def _captured(pattern: str, subject: str) -> _Captured | None:
    tokens, own = _tokens(pattern), _tokens(subject)
    captured = _Captured([], [])
    for place, token in enumerate(tokens):
        if token == REST and len(own) > place:
            return captured._replace(rest=own[place:])
        if len(own) <= place or token not in ("*", own[place]):
            return None
        if token == "*":
            captured.tokens.append(own[place])
    return captured if len(own) == len(tokens) else None


def _tokens(subject: str | None) -> list[str]:
    return (subject or REST).split(".")
