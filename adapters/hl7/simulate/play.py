"""Imagined analyzers at work, side by side, and how they fared."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from adapters.hl7.simulate import microbiology, orders, results
from adapters.hl7.simulate.lines import Astm, Mllp, Reply, Talking
from adapters.hl7.simulate.panels import BLOOD_GAS, CBC, CHEMISTRY, Panel, sample
from adapters.hl7.simulate.values import CRITICAL_SHARE

Kind = Literal["cbc", "chemistry", "gas", "microbiology", "corrections", "query"]
Transport = Literal["mllp", "astm"]
KINDS: Final[tuple[Kind, ...]] = (
    *("cbc", "chemistry", "gas", "microbiology", "corrections", "query"),
)
_PANELS: Final[dict[str, Panel]] = {"cbc": CBC, "chemistry": CHEMISTRY, "gas": BLOOD_GAS}
_LIFE: Final = ("P", "F", "C", "F", "X")
_TRIES: Final = 3
_SPACING: Final = 3_000_000  # between the messages of two seeds
_TOGETHER: Final = 15  # all messages about a specimen come from one analyzer, in order


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played: `count` messages in all, of these kinds in turn, by so many analyzers.

    `rate` is messages a second in all, 0 as fast as they are answered; the same `seed`
    gives the same messages. `seconds` is the patience with one answer. Of the panels of
    numbers, `critical_share` hold a critical value.
    """

    host: str
    port: int
    transport: Transport = "mllp"
    kinds: tuple[Kind, ...] = ("chemistry",)
    count: int = 100
    analyzers: int = 1
    rate: float = 0
    seed: int = 1
    seconds: float = 30
    critical_share: float = CRITICAL_SHARE


@dataclass(slots=True)
class Tally:
    """How it went: messages sent, taken, refused (with the answers) and lost with the line.

    `times` are the seconds from sending to the answer, `orders` what queries brought.
    """

    sent: int = 0
    acknowledged: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    times: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        """Whether every message was taken."""
        return self.sent == self.acknowledged > 0

    def quantile(self, part: float) -> float:
        """Return the time under which this part of the answers came."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class Item:
    """A message to be sent; `asks` for orders."""

    content: bytes
    asks: bool = False


def item(
    kind: Kind, seed: int, transport: Transport, critical_share: float = CRITICAL_SHARE
) -> Item:
    """Return the message of a kind and seed; ValueError where the transport has no such kind."""
    if transport == "astm":
        return _records(kind, seed, critical_share)
    if kind == "microbiology":
        return Item(microbiology.culture(seed))
    if kind == "query":
        return Item(orders.qbp(seed, sample(CHEMISTRY, seed).specimen), asks=True)
    if kind == "corrections":
        # A specimen in five messages: preliminary, final, corrected, final again, cancelled.
        step = seed % len(_LIFE)
        one = sample(CHEMISTRY, seed // len(_LIFE), repeat=step, critical_share=critical_share)
        return Item(results.oru(one, _LIFE[step], step))
    return Item(results.oru(sample(_PANELS[kind], seed, critical_share=critical_share)))


def _records(kind: Kind, seed: int, critical_share: float) -> Item:
    if kind == "query":
        return Item(orders.records(seed, sample(CHEMISTRY, seed).specimen), asks=True)
    if kind == "corrections":
        step = seed % 3
        one = sample(CHEMISTRY, seed // 3, repeat=step, critical_share=critical_share)
        return Item(results.records(one, _LIFE[step]))
    if kind not in _PANELS:
        raise ValueError(f"{kind} is played over MLLP only")
    return Item(results.records(sample(_PANELS[kind], seed, critical_share=critical_share)))


def play(plan: Plan, advance: Callable[[Tally], None] = lambda _: None) -> Tally:
    """Play all analyzers to the end; `advance` is called after each message."""
    tally, lock = Tally(), threading.Lock()
    started = time.monotonic()

    def work(number: int) -> None:
        for outcome in _analyzer(plan, number, started):
            with lock:
                _count(tally, *outcome)
                tally.seconds = time.monotonic() - started
                advance(tally)

    threads = [
        threading.Thread(target=work, args=(number,), daemon=True)
        for number in range(min(plan.analyzers, plan.count))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def _count(tally: Tally, reply: Reply | OSError, seconds: float) -> None:
    tally.sent += 1
    if isinstance(reply, OSError):
        tally.lost[str(reply) or type(reply).__name__] += 1
        return
    tally.times.append(seconds)
    tally.orders += reply.orders
    if reply.ok:
        tally.acknowledged += 1
    else:
        tally.refused[reply.text] += 1


def _analyzer(plan: Plan, number: int, started: float) -> Iterator[tuple[Reply | OSError, float]]:
    """Yield what became of each message of one analyzer; it gives up where the line is gone."""
    line: Talking | None = None
    broken = 0
    together = _TOGETHER * len(plan.kinds) if "corrections" in plan.kinds else 1
    for place in range(plan.count):
        if place // together % plan.analyzers != number:
            continue
        nth, which = divmod(place, len(plan.kinds))
        one = item(
            plan.kinds[which], plan.seed * _SPACING + nth, plan.transport, plan.critical_share
        )
        _pace(plan, place, started)
        begun = time.monotonic()
        try:
            line = line or _opened(plan)
            reply: Reply | OSError = line.ask(one.content) if one.asks else line.tell(one.content)
            broken = 0
        except OSError as error:
            reply, broken = error, broken + 1
            if line is not None:
                line.close()
            line = None
        yield reply, time.monotonic() - begun
        if broken >= _TRIES:
            return
    if line is not None:
        line.close()


def _opened(plan: Plan) -> Talking:
    kind = Astm if plan.transport == "astm" else Mllp
    return kind(plan.host, plan.port, plan.seconds)


def _pace(plan: Plan, place: int, started: float) -> None:
    if plan.rate:
        time.sleep(max(0.0, started + place / plan.rate - time.monotonic()))
