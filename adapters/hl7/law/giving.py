"""Work that is given to analyzers, and taken back from them.

IHE Laboratory Technical Framework, volume 2b, transaction LAB-28.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from adapters.hl7.acknowledgement.ack import control_id
from adapters.hl7.laboratory.specimen_orders import Found, number_on, specimen_of
from adapters.hl7.law import orders, steps
from adapters.hl7.law.orders import Sample
from adapters.hl7.law.steps import Step
from adapters.hl7.outbound import queue
from adapters.hl7.outbound.gather import gather
from adapters.hl7.outbound.messages import Draft
from adapters.hl7.outbound.peer import Peer, peer_of
from adapters.hl7.outbound.record import Json
from adapters.hl7.profiles.analyzer_tests import Tests
from adapters.hl7.profiles.destination import Outbound
from adapters.hl7.profiles.read import Loaded
from adapters.hl7.recorded import Sent
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions.read import read_on
from fhir_server.r4 import json
from fhir_server.server import Server


@dataclass(frozen=True, slots=True)
class Analyzer:
    """An analyzer, with what it understands; `base` begins the systems made here."""

    loaded: Loaded
    peer: Peer
    base: str

    @property
    def name(self) -> str:
        """The sender's name."""
        return self.loaded.sender


def is_analyzer(loaded: Loaded) -> bool:
    """Whether a profile speaks of an analyzer that is given work over HL7."""
    return "law" in loaded.profile.model_fields_set and loaded.profile.astm is None


def analyzer(server: Server, base: str, loaded: Loaded) -> Analyzer:
    """Return an analyzer by its profile."""
    profile = loaded.profile
    known = profile.model_copy(update={"outbound": profile.outbound or Outbound()})
    return Analyzer(
        loaded, peer_of(loaded.sender, base, known, server.settings.hl7.authorities), base
    )


async def give(
    server: Server,
    connection: Connection,
    to: Analyzer,
    found: Found,
    number: str = "",
) -> int:
    """Queue what an analyzer can do of these orders and has not been given yet.

    `number` is that on the label, "" where each specimen tells its own. Returns how many
    specimens have work now, also such as was given before and is on its way.
    """
    await steps.hold(connection, to.name)
    samples = _by_sample(to, found, number)
    requests = [f"ServiceRequest/{one['id']}" for group in samples.values() for one, _ in group]
    known = await steps.of_analyzer(connection, to.name, requests)
    given = {(one.request, one.specimen, one.code) for one in known}
    waiting = {one.specimen for one in known if one.state == "requested"}
    for label, group in samples.items():
        fresh = [
            (request, code)
            for request, code in group
            if (f"ServiceRequest/{request['id']}", label, code) not in given
        ]
        if fresh:
            waiting.add(label)
            await _give(server, connection, to, found, label, fresh)
    return len(waiting & samples.keys())


def _by_sample(to: Analyzer, found: Found, number: str) -> dict[str, list[tuple[Json, str]]]:
    """Return orders with the analyzer's code, by the number on the specimen's label."""
    tests = Tests(to.loaded.profile)
    samples: dict[str, list[tuple[Json, str]]] = {}
    for request in found.requests:
        code = tests.code(request)
        label = number or number_on(specimen_of(found, request))
        if code and label:
            samples.setdefault(label, []).append((request, code))
    return samples


async def _give(
    server: Server,
    connection: Connection,
    to: Analyzer,
    found: Found,
    label: str,
    fresh: Sequence[tuple[Json, str]],
) -> None:
    first = fresh[0][0]
    patient = found.others.get(first.get("subject", {}).get("reference", ""))
    sample = Sample(label, specimen_of(found, first), patient)
    told: list[orders.Step] = []
    for request, code in fresh:
        step = await steps.add(
            server, connection, to.base, to.name, request, specimen=label, code=code
        )
        told.append(_told(to, step.id, request, code))
    draft = orders.work("NW", sample, told, to.peer)
    ids = [one.id for one in told]
    await _queue(connection, to, draft, label, ids)
    await _record(connection, to, [request for request, _ in fresh])


def _told(to: Analyzer, number: str, request: Json, code: str) -> orders.Step:
    listed = {test.code: test for test in to.loaded.profile.law.tests}
    if test := listed.get(code):
        return orders.Step(number, request, code, test.display, test.system)
    codings = request.get("code", {}).get("coding", ())
    same: Json = next((one for one in codings if one.get("code") == code), {})
    return orders.Step(
        number, request, code, str(same.get("display", "")), str(same.get("system", ""))
    )


async def say_no_work(connection: Connection, to: Analyzer, number: str) -> None:
    """Queue that there is nothing to do for a specimen."""
    await _queue(connection, to, orders.no_work(number), number, ())


async def take_back(
    server: Server, connection: Connection, to: Analyzer, given: Iterable[Step]
) -> None:
    """Queue that steps are not to be done any more."""
    samples: dict[str, list[Step]] = {}
    for one in given:
        samples.setdefault(one.specimen, []).append(one)
    for label, group in samples.items():
        told = []
        for one in group:
            order = await request(server, connection, one.request)
            told.append(_told(to, one.id, order, one.code))
            await steps.move(server, connection, one, "cancelling")
        sample = await _sample(server, connection, label, told)
        draft = orders.work("CA", sample, told, to.peer)
        await _queue(connection, to, draft, label, [one.id for one in group])
        await _record(connection, to, [one.request for one in told])


async def request(server: Server, connection: Connection, reference: str) -> Json:
    """Return an order, or as much as is left of one that was deleted."""
    id_ = reference.rpartition("/")[2]
    try:
        found = await read_on(server, connection, steps.CALLER, "ServiceRequest", id_)
    except (NotFound, Gone):
        return {"resourceType": "ServiceRequest", "id": id_}
    order: Json = json.decode_keeping(found.body)
    return order


async def _sample(
    server: Server, connection: Connection, label: str, told: Sequence[orders.Step]
) -> Sample:
    request = told[0].request
    record = await gather(server, connection, request)
    specimens = list(record.all(request.get("specimen")))
    return Sample(label, next(iter(specimens), None), record.get(request.get("subject")))


async def _record(connection: Connection, to: Analyzer, requests: Iterable[Json]) -> None:
    """Record which orders, of whom, an analyzer is sent, together with the message."""
    sent = Sent()
    for one in requests:
        patient = str(one.get("subject", {}).get("reference", ""))
        sent.add(to.name, (patient, f"ServiceRequest/{one['id']}"))
    await sent.record(connection)


async def _queue(
    connection: Connection, to: Analyzer, draft: Draft, label: str, ids: Sequence[str]
) -> None:
    number = control_id()
    law = to.loaded.profile.law
    message = queue.Message(
        destination=to.name,
        event=draft.kind,
        control_id=number,
        # One after the other, as an analyzer takes them.
        keys=(f"{to.name} {label}",),
        reference=f"AWOS {label}",
        version=0,
        digest=draft.digest(to.peer),
        payload=orders.bytes_of(draft, to.peer, law, number, datetime.now(UTC)),
        kind="law",
        via=law.orders_via,
    )
    row = await queue.put(connection, message)
    if row is not None and ids:
        await steps.sent(connection, ids, row)
