"""One line to an analyzer over TCP: what it sends is kept, what it asks is answered."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Final
from uuid import UUID, uuid4

import psycopg

from adapters.hl7 import metrics
from adapters.hl7.astm import downloads, work
from adapters.hl7.astm.examine import Examined, examine, incomplete
from adapters.hl7.astm.frames import split
from adapters.hl7.astm.keeping import Ending, Keeper, Piece
from adapters.hl7.astm.link import Action, Close, Fault, Keep, Line, Sent, Write
from adapters.hl7.inbox.received import Received
from adapters.hl7.inbox.understand import KeptOrigin
from adapters.hl7.laboratory.specimen_orders import active
from adapters.hl7.profiles.agreements import agreements
from adapters.hl7.profiles.analyzer_tests import Tests
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.profiles.read import Loaded
from adapters.hl7.recorded import asked, system
from adapters.hl7.records.answer import Ordered, encoded, failed, orders
from adapters.hl7.records.query import Request
from adapters.hl7.records.transmission import messages
from fhir_server.audit.peers import ANALYZER
from fhir_server.config import AstmDialect
from fhir_server.errors import SangamError, Throttled, Unavailable
from fhir_server.server import Server

LONGEST: Final[dict[AstmDialect, int]] = {"E1381-95": 240, "LIS01-A2": 63_993}
_READ: Final = 64 << 10
_AGAIN_SECONDS: Final = 1.0
# An analyzer asks for what stands on its rack; one that asks without end is not listened to.
_MOST_WAITING: Final = 100
_MOST_NAMED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be sent; `order` is its row where it was queued."""

    records: tuple[bytes, ...]
    order: int | None = None


@dataclass(slots=True)
class Analyzer:
    """The state of one line.

    `sender` and `loaded` are known when it has said who it is; `pinned` is the sender of
    the profile by which it was connected to, "-" where it came by itself.
    """

    server: Server
    keeper: Keeper
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    peer: str
    line: Line
    sender: str = ""
    loaded: Loaded | None = None
    pinned: str = "-"
    session: UUID = field(default_factory=uuid4)
    texts: list[bytes] = field(default_factory=list)
    outgoing: deque[Outgoing] = field(default_factory=deque)
    sending: Outgoing | None = None
    waking: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False

    @property
    def zone(self) -> tzinfo:
        """The zone of times that the analyzer writes and reads."""
        return work.zone_of(self.server, self.loaded.profile if self.loaded else None)

    @property
    def ready(self) -> bool:
        """Whether a queued order may be given to the line."""
        return not self.outgoing and self.sending is None and not self.stopping

    def offer(self, message: Outgoing) -> None:
        """Put a message in line, to be sent when the line is free."""
        self.outgoing.append(message)
        self.waking.set()

    def stop(self) -> None:
        """Let the session that is open end, and begin none."""
        self.stopping = self.line.busy = True
        self.waking.set()


async def converse(one: Analyzer) -> None:
    """Serve a line until it ends; what is then open is kept as incomplete."""
    reading: asyncio.Task[bytes] | None = None
    try:
        while not (one.stopping and one.line.idle):
            reading = reading or asyncio.create_task(one.reader.read(_READ))
            content = await _next(one, reading)
            if content is not None:
                reading = None
                if not content:
                    break
                await _act(one, one.line.feed(content, _now()))
            await _act(one, one.line.tick(_now()))
            await _begin(one)
    except ConnectionError:
        pass  # the analyzer hung up, as it may
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        with contextlib.suppress(ConnectionError):
            await _act(one, one.line.lost())


async def _next(one: Analyzer, reading: asyncio.Task[bytes]) -> bytes | None:
    """Return what was read, None where the time came or somebody woke us."""
    waking = asyncio.create_task(one.waking.wait())
    deadline = one.line.deadline
    wait = None if deadline is None else max(0.0, deadline - _now())
    await asyncio.wait({reading, waking}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
    waking.cancel()
    await asyncio.gather(waking, return_exceptions=True)
    one.waking.clear()
    return reading.result() if reading.done() else None


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _begin(one: Analyzer) -> None:
    """Give the next message to the line."""
    if one.sending is None and one.outgoing and not one.stopping:
        one.sending = one.outgoing.popleft()
        await _act(one, one.line.send(split(one.sending.records, _longest(one)), _now()))


def _longest(one: Analyzer) -> int:
    own = one.loaded.profile.astm if one.loaded else None
    return LONGEST[own.dialect if own else one.server.settings.astm.dialect]


async def _act(one: Analyzer, actions: Iterable[Action]) -> None:
    """Do what the line says, and what follows from that."""
    todo: Iterable[Action] = actions
    while True:
        follows: Iterable[Action] = ()
        for action in todo:
            match action:
                case Write(content):
                    await _write(one, content)
                case Keep(frame):
                    piece = Piece(
                        one.session, len(one.texts) + 1, one.peer, frame.text, frame.final
                    )
                    ok = await _kept(one, piece)
                    follows = one.line.kept(ok=ok, now=_now())
                case Close(complete, reason):
                    await _close(one, complete=complete, reason=reason)
                case Sent(ok, reason):
                    await _sent(one, ok=ok, reason=reason)
                case Fault(kind):
                    metrics.astm_faults.labels(kind).inc()
        if not follows:
            return
        todo = follows


async def _write(one: Analyzer, content: bytes) -> None:
    if content == b"\x15":
        metrics.astm_nak.inc()
    one.writer.write(content)
    await one.writer.drain()


async def _kept(one: Analyzer, piece: Piece) -> bool:
    """Make a frame durable; return whether it is."""
    try:
        await one.keeper.submit(piece)
    except Unavailable:
        return False
    one.texts.append(piece.text)
    metrics.astm_frames.inc()
    return True


async def _close(one: Analyzer, *, complete: bool, reason: str) -> None:
    """Move what a session brought into the inbox, and answer what it asked."""
    raw = b"".join(one.texts)
    if complete:
        found = await _examined(one, raw)
    else:
        metrics.astm_sessions.labels("incomplete").inc()
        found = [Examined(incomplete(raw, f"{reason}; {len(one.texts)} frames"))]
    await _end(one, tuple(each.received for each in found))
    one.session, one.texts = uuid4(), []
    for each in found:
        await _requests(one, each)


async def _examined(one: Analyzer, raw: bytes) -> list[Examined]:
    """Return the messages of a session that ended well; it may bring several."""
    metrics.astm_sessions.labels("complete").inc()
    agreed = agreements(one.server)
    with contextlib.suppress(psycopg.Error, Unavailable):  # what was agreed holds on
        await agreed.refresh()
    settings = one.server.settings
    kept = KeptOrigin(settings.astm.channel, one.peer, one.pinned)
    found = [examine(each, settings, agreed.profiles, kept) for each in messages(raw) or [raw]]
    for each in found:
        if each.sender:
            one.sender, one.loaded = each.sender, each.loaded
    return found


async def _end(one: Analyzer, received: tuple[Received, ...]) -> None:
    """Wait until the inbox has it: nothing more is read of this line before."""
    while True:
        try:
            await one.keeper.submit(Ending(one.session, one.peer, received))
        except Unavailable:
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return


async def _requests(one: Analyzer, found: Examined) -> None:
    """Answer the queries of a message; a query that is taken back is not answered."""
    own = found.loaded.profile.astm if found.loaded else None
    if own is not None and own.query == "ignore":
        return
    for request in found.requests:
        if request.cancels:
            metrics.astm_queries.labels("cancelled").inc()
            queued = [each for each in one.outgoing if each.order is not None]
            one.outgoing = deque(queued)
        elif len(one.outgoing) >= _MOST_WAITING:
            metrics.astm_queries.labels("refused").inc()
        else:
            one.offer(Outgoing(tuple(await _answer(one, request, found))))


async def _answer(one: Analyzer, request: Request, asking: Examined) -> list[bytes]:
    now, number = datetime.now(one.zone), uuid4().hex[:20]
    codec = downloads.codec_of(one.loaded)
    try:
        if len(request.named) > _MOST_NAMED:
            raise Throttled(f"A query names at most {_MOST_NAMED} specimens")
        known = asking.loaded is not None or one.server.settings.demo
        found = await _found(one, request) if known else []
        await _record(one, asking, found, refused=not known)
    except (SangamError, psycopg.Error):
        metrics.astm_queries.labels("failed").inc()
        return encoded(failed(now, number), codec)
    if not known:
        metrics.astm_queries.labels("unknown").inc()
        return encoded(failed(now, number), codec)
    metrics.astm_queries.labels("orders" if found else "none").inc()
    return encoded(orders(found, now, number, action="N", queried=True), codec)


async def _record(
    one: Analyzer, asking: Examined, found: Sequence[Ordered], *, refused: bool
) -> None:
    """Record a query before it is answered."""
    lines = asking.received.raw.split(b"\r")
    text = b"\r".join(line for line in lines if line[:1] == b"Q").decode("latin-1")
    told = [("ServiceRequest", id_) for each in found for id_ in each.requests]
    asker = system(asking.received.sender, Origin(one.server.settings.astm.channel, one.peer))
    async with one.server.database.statement() as connection:
        await asked(connection, asker, ANALYZER, text, told, refused=refused)


async def _found(one: Analyzer, request: Request) -> Sequence[Ordered]:
    tests = Tests(one.loaded.profile if one.loaded else None)
    return [
        ordered
        for specimen, found in await active(one.server, request)
        for ordered in work.ordered(found, specimen, tests, request.tests, one.zone)
    ]


async def _sent(one: Analyzer, *, ok: bool, reason: str) -> None:
    sent, one.sending = one.sending, None
    metrics.astm_orders.labels("sent" if ok else "failed").inc()
    if sent is not None and sent.order is not None:
        # Unsettled it is sent again, which is what a queue may do.
        with contextlib.suppress(psycopg.Error, Unavailable):
            await downloads.settle(one.server, sent.order, ok=ok, why=reason)
    one.waking.set()
