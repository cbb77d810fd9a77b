"""What changes in the store goes out to those who want it, and to no one who said it."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from adapters.hl7.inbox import process
from adapters.hl7.inbox.receive import store
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Kind
from adapters.hl7.outbound import follow
from adapters.hl7.outbound.gather import source
from adapters.hl7.profiles import agreements as kept
from adapters.hl7.profiles.agreements import agreements
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.uri_base import uri_base
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.interactions.vread import versions_on
from fhir_server.server import Server
from tests.adapters.hl7.outbound.destination import (
    agree,
    destination,
    fields,
    patient,
    put,
    rows,
    settled,
    telling,
    told,
)
from tests.cluster import no_others

ORU = (
    "MSH|^~\\&|LAB||SANGAM||20260110080000+0000||ORU^R01^ORU_R01|{number}|P|2.5.1\r"
    "PID|1||4711^^^HOSP^MR||Rao^Asha\rORC|RE|P-1^HIS|F-1^LAB\r"
    "OBR|1|P-1^HIS|F-1^LAB|24323-8^CMP^LN|||20260110073000+0000|||||||||||||||"
    "20260110080000+0000||LAB|{status}\r"
    "OBX|1|NM|2345-7^Glucose^LN||{value}|mmol/L|||||{status}\r"
)
MERGE = (
    "MSH|^~\\&|ADT||SANGAM||20260110090000+0000||ADT^A40^ADT_A39|M9|P|2.5.1\r"
    "EVN||20260110090000+0000\rPID|1||4712^^^HOSP^MR||Rao^Asha\rMRG|4711^^^HOSP^MR\r"
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "profiles"


async def take(server: Server, *messages: str) -> None:
    """Take messages into the store."""
    await agreements(server).refresh()
    known = agreements(server).profiles
    now, hl7 = datetime.now(UTC), server.settings.hl7
    origin = Origin("mllp")
    kept = [
        (examine(Frame(Kind.WHOLE, one.encode()), hl7, now, origin=origin, profiles=known), "x")
        for one in messages
    ]
    await store(server.database, hl7.channel, kept)
    await process.run(server, {})


def kinds(messages: Sequence[str]) -> list[str]:
    return [one.split("|")[8].rpartition("^")[0] for one in messages]


async def test_a_result_that_came_goes_on_and_its_correction_follows(
    server: Server, place: Path
) -> None:
    async with destination() as there:
        agree(place, there.port, "ORU^R01")
        async with telling(server, place) as telling_server:
            await take(telling_server, ORU.format(number="M1", value="5.40", status="F"))
            (first,) = await there.until(1)
            await take(telling_server, ORU.format(number="M2", value="5.50", status="C"))
            _, second = await there.until(2)
            await settled(telling_server, [("done",)] * 2, "state")
    for message, value, status in ((first, "5.40", "F"), (second, "5.50", "C")):
        (obx,) = fields(message, "OBX")
        assert [obx[2], *obx[3:7], obx[11]] == [
            *("NM", "2345-7^Glucose^LN", "", value, "mmol/L^^UCUM", status),
        ]
        assert fields(message, "OBR")[0][2:4] == ["P-1^HIS", "F-1^LAB"]
        assert fields(message, "OBR")[0][25] == status


async def test_who_sent_a_change_is_not_told_of_it(server: Server, place: Path) -> None:
    async with destination() as laboratory, destination() as other:
        agree(place, laboratory.port, "ORU^R01", name="LAB")
        agree(place, other.port, "ORU^R01", name="LIS")
        async with telling(server, place) as telling_server:
            await take(telling_server, ORU.format(number="M1", value="5.4", status="F"))
            await other.until(1)
            await settled(telling_server, [("LIS", "done")], "destination, state")
    assert laboratory.came == []


async def test_changes_of_a_channel_can_be_kept_from_a_destination(
    server: Server, place: Path
) -> None:
    async with destination() as there, destination() as other:
        agree(place, there.port, "ORU^R01", name="A", more='not_from = ["mllp"]')
        agree(place, other.port, "ORU^R01", name="B")
        async with telling(server, place) as telling_server:
            await take(telling_server, ORU.format(number="M1", value="5.4", status="F"))
            await other.until(1)
            await settled(telling_server, [("B", "done")], "destination, state")
    assert there.came == []


async def test_changes_wait_for_a_directory_that_is_away_at_the_start(
    server: Server, client: AsyncClient, place: Path
) -> None:
    away = place.with_name("away")
    async with destination() as there:
        agree(place, there.port, "ADT^A31")
        async with telling(server, place):
            pass
        await asyncio.to_thread(place.rename, away)
        kept._KEPT.clear()  # noqa: SLF001  (the process starts anew)
        await put(client, patient("p"))
        async with telling(server, place):
            await no_others(server.database)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(away.rename, place)
            (message,) = await there.until(1)
    assert kinds([message]) == ["ADT^A31"]


async def test_a_merge_is_told_as_a40(server: Server, place: Path) -> None:
    async with destination() as there:
        agree(place, there.port, "ADT^A40")
        async with telling(server, place) as telling_server:
            await take(telling_server, ORU.format(number="M1", value="5.4", status="F"), MERGE)
            (message,) = await there.until(1)
            await settled(telling_server, [("ADT^A40", "done")], "event, state")
    assert [segment.split("|")[0] for segment in message.split("\r")][:4] == [
        *("MSH", "EVN", "PID", "MRG"),
    ]
    assert "4712^^^HOSP^MR" in fields(message, "PID")[0][3]
    assert fields(message, "MRG")[0][1] == "4711^^^HOSP^MR"


async def test_a_person_is_told_again_only_where_something_that_is_told_changed(
    server: Server, client: AsyncClient, place: Path
) -> None:
    async with destination() as there:
        agree(place, there.port, "ADT")
        async with telling(server, place) as telling_server:
            await put(client, patient())
            await put(client, patient(language="en"))
            await put(client, patient(gender="male"))
            await there.until(2)
            await settled(telling_server, [("done",)] * 2, "state")
    assert [fields(one, "PID")[0][8] for one in there.texts] == ["F", "M"]


def visit(status: str, **said: Any) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": "v",
        "identifier": [{"system": "urn:oid:1.5", "value": "V-1"}],
        "status": status,
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": "Patient/p"},
        **said,
    }


async def test_a_visit_goes_through_its_events(
    server: Server, client: AsyncClient, place: Path
) -> None:
    for bed in "ab":
        ward = {"resourceType": "Location", "id": bed, "name": f"W-{bed}"}
        await put(client, ward)
    await put(client, patient())
    async with destination() as there:
        agree(place, there.port, "ADT")
        async with telling(server, place) as telling_server:
            for status, bed in (
                ("planned", "a"),
                ("in-progress", "a"),
                ("in-progress", "b"),
                ("finished", "b"),
                ("in-progress", "b"),
                ("cancelled", "b"),
            ):
                where = [{"location": {"reference": f"Location/{bed}"}, "status": "active"}]
                await put(client, visit(status, location=where))
            await there.until(5)
            await settled(telling_server, [("done",)] * 5, "state")
    assert kinds(there.texts) == ["ADT^A01", "ADT^A02", "ADT^A03", "ADT^A13", "ADT^A11"]
    assert [fields(one, "PV1")[0][19] for one in there.texts] == ["V-1^^^&1.5&ISO"] * 5


async def test_an_order_is_told_new_changed_and_withdrawn_and_the_same_is_not_told_twice(
    server: Server, client: AsyncClient, place: Path
) -> None:
    await put(client, patient())
    order = {
        "resourceType": "ServiceRequest",
        "id": "o",
        "identifier": [{"system": "urn:oid:1.6", "value": "O-1"}],
        "status": "active",
        "intent": "order",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}]},
        "subject": {"reference": "Patient/p"},
    }
    async with destination() as there:
        agree(place, there.port, "OML^O21")
        async with telling(server, place) as telling_server:
            await put(client, order)
            await put(client, order | {"priority": "stat"})
            # What no field of the message holds is no news.
            await put(client, order | {"priority": "stat", "language": "en"})
            await put(client, order | {"status": "revoked"})
            await there.until(3)
            await settled(telling_server, [("done",)] * 3, "state")
    assert kinds(there.texts) == ["OML^O21"] * 3
    assert [fields(one, "ORC")[0][1:3] for one in there.texts] == [
        ["NW", "O-1^^1.6^ISO"],
        ["XO", "O-1^^1.6^ISO"],
        ["CA", "O-1^^1.6^ISO"],
    ]


async def test_changes_are_read_at_once_with_the_versions_that_they_are_compared_with(
    server: Server, client: AsyncClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[tuple[str, str, int]]] = []

    async def counted(
        server: Server, connection: Connection, caller: Caller, wanted: Iterable[Any]
    ) -> Any:
        asked.append(set(wanted))
        return await versions_on(server, connection, caller, asked[-1])

    agree(place, 1, "ADT^A31", "ORU^R01")
    there = told(server, place)
    await agreements(there).refresh()
    peers = follow.destinations(there, "urn:x", list(agreements(there).profiles.by_sender.values()))
    monkeypatch.setattr(follow, "versions_on", counted)
    await follow.look(there, "urn:x", peers)
    await put(client, patient("p"))
    await put(client, patient("p", gender="male"))
    await put(client, patient("q"))
    report = {"status": "final", "code": {"text": "x"}, "subject": {"reference": "Patient/p"}}
    await put(client, {"resourceType": "DiagnosticReport", "id": "r", **report})
    await put(client, {"resourceType": "Device", "id": "d"})
    await no_others(server.database)
    await follow.look(there, "urn:x", peers)
    patients = {("Patient", "p", at) for at in range(3)} | {("Patient", "q", at) for at in range(2)}
    assert asked == [patients | {("DiagnosticReport", "r", 1)}]
    events = await rows(there, "event")
    assert events == [("ADT^A31",), ("ADT^A31",), ("ADT^A31",), ("ORU^R01",)]


@pytest.mark.parametrize("value", ["abc", "9" * 40, "²"])
async def test_provenance_of_no_message_of_ours_keeps_nothing_from_being_told(
    server: Server, client: AsyncClient, value: str
) -> None:
    base = await uri_base(server)
    number = {"system": f"{base}/hl7/message", "value": value}
    provenance = {
        "resourceType": "Provenance",
        "target": [{"reference": "Patient/p/_history/1"}],
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [{"who": {"display": "somebody"}}],
        "entity": [{"role": "source", "what": {"identifier": number}}],
    }
    await put(client, patient("p"))
    assert (await client.post("/Provenance", json=provenance)).status_code == 201
    async with server.database.transaction() as connection:
        assert await source(server, connection, base, "Patient/p/_history/1") is None
