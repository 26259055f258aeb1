"""What is shown of a URL, and how often a line is let through."""

import pytest

from src.common.logs import Throttle, redacted


@pytest.mark.parametrize(
    ("urls", "shown"),
    [
        ("nats://nats:4222", "nats://nats:4222"),
        ("nats://ann:s3cret@nats:4222", "nats://***@nats:4222"),
        ("s3cret@nats", "***@nats"),
        ("nats://a:1,nats://ann:s3cret@b:2, nats://s3cret@c", "nats://a:1,nats://***@b:2, nats://***@c"),
        ("nats://[::1]:4222,nats://ann:s3cret@b", "nats://[::1]:4222,nats://***@b"),
        ("nats://ann:s3cret,s3cret@b", "nats://***@b"),
        ("nats://ann:s3cret/?#[@s3cret@b", "nats://***@b"),
        ("nats://ann:s3cret://s3cret@b", "nats://***@b"),
        ("nats://ann:s3cret,nats://s3cret@b", "***,nats://***@b"),
    ],
)
def test_secrets_are_never_shown_and_hosts_are(urls: str, shown: str) -> None:
    assert redacted(urls) == shown


def test_one_line_an_interval_is_let_through_and_tells_how_many_were_not() -> None:
    ticks = iter((0.0, 0.1, 0.9, 1.0, 1.5, 3.0))
    throttle = Throttle(interval_s=1.0, clock=lambda: next(ticks))
    assert [throttle.lets_through() for _ in range(6)] == [0, None, None, 2, None, 1]
