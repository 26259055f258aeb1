"""What one message of the stream adds to the past: the part of it that history tells.

The values are those that the payload showed: `intake.py` reads them and the rules of `normalize.py` map them.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from src.common.messages import check_depth, parse_sections
from src.gateway.signals.contract import EXACT, LAST_TS_MS, LevelsPayload
from src.gateway.signals.shape import STRIKE_DIGITS, strike_of

OLD_TRADE_MS: Final = 300_000


class LevelPoint(NamedTuple):
    """One level in one message, with the names and values of the payload."""

    id: str
    kind: str
    price: float
    score: float
    distance: float
    signal: str
    confidence: str


class LevelsEntry(NamedTuple):
    """A levels message.

    Attributes:
        seq: its sequence in the stream, 1 or more.
        ts_ms: Core's time, ms UTC; NATS's where Core has none.
        stored_ms: when NATS stored it, ms UTC.
        spy: the spot that the payload shows; None where there is none.
        es: likewise.
        levels: in Core's order.
    """

    seq: int
    ts_ms: int
    stored_ms: int
    spy: float | None
    es: float | None
    levels: list[LevelPoint]


class FlowTotals(NamedTuple):
    """Sums over the contracts that a flow message lists; None where no contract has the field.

    The signs are Core's. In recorded sessions a contract's `net_delta_flow` is what the aggressors bought, and its
    `net_gamma_flow` has the sign of their counterparty: bought calls add to the net delta and take from the net gamma.

    Attributes:
        call_volume: of `cumulative_volume`, in contracts.
        put_volume: likewise.
        call_premium: of `cumulative_premium`, in dollars.
        put_premium: likewise.
        net_delta: of `net_delta_flow`, calls and puts.
        net_gamma: of `net_gamma_flow`, likewise.
    """

    call_volume: float | None
    put_volume: float | None
    call_premium: float | None
    put_premium: float | None
    net_delta: float | None
    net_gamma: float | None


class FlowEntry(NamedTuple):
    """A flow message; the attributes as of `LevelsEntry`. For `ts_ms` see `flow_entry`."""

    seq: int
    ts_ms: int
    stored_ms: int
    totals: FlowTotals


class ReadFlow(NamedTuple):
    """A flow message, decoded once for both.

    Attributes:
        entry: see there.
        section: the whole message as strict JSON, as `read_flow` of `intake.py` has it.
    """

    entry: FlowEntry
    section: Raw


def levels_entry(levels: LevelsPayload, *, seq: int, stored_ms: int) -> LevelsEntry:
    """The entry of a levels message that has been mapped to the payload."""
    es = levels.get("es")
    return LevelsEntry(
        seq,
        levels["ts"],
        stored_ms,
        levels["spy"]["spot"],
        None if es is None else es["spot"],
        [
            LevelPoint(
                level["id"],
                level["level_kind_name"],
                level["level_price"],
                level["break_score_smooth"],
                level["distance"],
                level["signal"],
                level["confidence"],
            )
            for level in levels["levels"]
        ],
    )


def flow_entry(body: bytes, *, seq: int, stored_ms: int) -> FlowEntry:
    """The entry of a flow message; arguments and errors as of `flow_with_entry`."""
    return flow_with_entry(body, seq=seq, stored_ms=stored_ms).entry


def flow_with_entry(body: bytes, *, seq: int, stored_ms: int) -> ReadFlow:
    """Read a flow message.

    It has no time of its own. Its `ts_ms` is `stored_ms`, unless its newest trade is so much older that Core may replay
    (`OLD_TRADE_MS`): then it is the time of that trade. A time without a trade puts it there as well, where
    the totals are the same.

    Raises:
        BadMessage: nothing of it reached a viewer either.
    """
    text, contracts = _contracts(body)
    traded_ms = max((each.last_timestamp for _, each in contracts if each.last_timestamp is not None), default=None)
    is_old = traded_ms is not None and stored_ms - traded_ms >= OLD_TRADE_MS
    ts_ms = traded_ms if traded_ms is not None and is_old else stored_ms
    return ReadFlow(FlowEntry(seq, ts_ms, stored_ms, _totals(contracts)), Raw(text))


def flow_totals(flow: bytes | Raw | Mapping[str, Any]) -> FlowTotals:
    """Add up the contracts of a flow section, as bytes or in JSON's Python types.

    A contract is left out where a field that is added has a wrong type or is beyond 2^53, and where neither its `type`
    nor its ticker says call or put.

    Raises:
        BadMessage: bytes that are not a strict JSON object.
    """
    return _totals(_tolerantly(flow) if isinstance(flow, Mapping) else _contracts(bytes(flow))[1])


# -- one flow message --------------------------------------------------------------------------------------------------

Amount = Annotated[float, Meta(ge=-float(EXACT), le=float(EXACT))]


class _Contract(Struct, gc=False):
    """The fields of a contract that are added, and by which it is told."""

    type: str | None = None
    cumulative_volume: Amount | None = None
    cumulative_premium: Amount | None = None
    net_delta_flow: Amount | None = None
    net_gamma_flow: Amount | None = None
    last_timestamp: Annotated[int, Meta(ge=1, le=LAST_TS_MS)] | None = None


_CONTRACTS: Final = msgspec.json.Decoder(dict[str, _Contract])
_RAW_CONTRACTS: Final = msgspec.json.Decoder(dict[str, Raw])
_CONTRACT: Final = msgspec.json.Decoder(_Contract)

_SIDES: Final = {"C": "C", "P": "P", "CALL": "C", "PUT": "P"}

Contracts = Iterable[tuple[str, _Contract]]


def _contracts(body: bytes) -> tuple[bytes, list[tuple[str, _Contract]]]:
    """The strict JSON of a message, and its contracts: in one pass where all are as Core's schema says, else singly."""
    check_depth(body)
    text, contracts, _ = parse_sections(body, _CONTRACTS.decode)
    return text, _tolerantly(_RAW_CONTRACTS.decode(text)) if contracts is None else list(contracts.items())


def _tolerantly(flow: Mapping[str, Any]) -> list[tuple[str, _Contract]]:
    read = []
    for ticker, contract in flow.items():
        try:
            decode = _CONTRACT.decode(contract) if isinstance(contract, Raw) else msgspec.convert(contract, _Contract)
        except msgspec.ValidationError:
            continue
        read.append((ticker, decode))
    return read


def _totals(contracts: Contracts) -> FlowTotals:
    sides: dict[str, list[_Contract]] = {"C": [], "P": []}
    for ticker, contract in contracts:
        side = _side(ticker, contract)
        if side is not None:
            sides[side].append(contract)
    calls, puts = sides["C"], sides["P"]
    both = calls + puts
    return FlowTotals(
        _sum([each.cumulative_volume for each in calls]),
        _sum([each.cumulative_volume for each in puts]),
        _sum([each.cumulative_premium for each in calls]),
        _sum([each.cumulative_premium for each in puts]),
        _sum([each.net_delta_flow for each in both]),
        _sum([each.net_gamma_flow for each in both]),
    )


def _side(ticker: str, contract: _Contract) -> str | None:
    """C or P; None where neither the contract nor its ticker says so."""
    if contract.type is not None:
        return _SIDES.get(contract.type.upper())
    return None if strike_of(ticker) is None else _SIDES.get(ticker[:-STRIKE_DIGITS][-1:])


def _sum(amounts: list[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None
