"""A patient who is erased is nowhere any more."""

import base64
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest

from adapters.hl7.inbox import erase as hl7
from fhir_server.audit import chain, ledger
from fhir_server.caller import Caller, trusted
from fhir_server.errors import Conflict, Forbidden, NotFound
from fhir_server.interactions import auditing, erasure
from fhir_server.rights import NOTHING, Rights
from fhir_server.server import Server

pytestmark = pytest.mark.anyio

ONE, OTHER = trusted("one", "cli"), trusted("other", "cli")
BODY = base64.b64encode(b"a discharge letter of Asha Raonaidu").decode()
ANN = {
    "resourceType": "Patient",
    "id": "ann-7731",
    "identifier": [{"system": "urn:mrn", "value": "MRN-9042"}],
    "name": [{"family": "Raonaidu"}],
}
BOB = {
    "resourceType": "Patient",
    "id": "bob",
    "link": [{"other": {"reference": "Patient/ann-7731"}, "type": "seealso"}],
}
MARKS = ("ann-7731", "MRN-9042", "Raonaidu")


def ref(text: str) -> dict[str, str]:
    return {"reference": text}


RESOURCES: list[dict[str, Any]] = [
    {"resourceType": "Binary", "id": "letter", "contentType": "text/plain", "data": BODY},
    ANN,
    BOB,
    {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"text": "x"},
        "subject": ref("Patient/ann-7731"),
    },
    {
        "resourceType": "Observation",
        "id": "o2",
        "status": "final",
        "code": {"text": "x"},
        "subject": ref("Patient/bob"),
        "hasMember": [ref("Observation/o1")],
    },
    {
        "resourceType": "Group",
        "id": "g",
        "type": "person",
        "actual": True,
        "member": [{"entity": ref("Patient/ann-7731")}, {"entity": ref("Patient/bob")}],
    },
    {
        "resourceType": "DocumentReference",
        "id": "d",
        "status": "current",
        "subject": ref("Patient/ann-7731"),
        "content": [{"attachment": {"url": "Binary/letter"}}],
    },
]


@pytest.fixture
async def filled(client: httpx.AsyncClient, server: Server) -> httpx.AsyncClient:
    for one in RESOURCES:
        answer = await client.put(f"{one['resourceType']}/{one['id']}", json=one)
        assert answer.status_code == 201, answer.text
    changed = {**ANN, "gender": "female"}
    (await client.put("Patient/ann-7731", json=changed)).raise_for_status()
    (await client.delete("DocumentReference/d")).raise_for_status()
    (await client.get("Patient?family=Raonaidu")).raise_for_status()
    (await client.get("Observation/o1")).raise_for_status()
    later = await client.get("Patient?family=Raonaidu", headers={"Prefer": "respond-async"})
    assert later.status_code == 202
    async with server.database.statement() as connection:
        await connection.execute(
            """INSERT INTO hl7_message (channel, sender, peer, raw, sha256, state, partition_keys,
                ack_mode) SELECT 'c', 's', 'p', convert_to(raw, 'UTF8'), sha256(raw::bytea), 'done',
                '{}', 'original' FROM unnest(%s::text[]) AS m(raw)""",
            ([message("MRN-9042^^^H", "1"), message("77^^^H", "MRN-9042")],),
        )
        await connection.execute(
            """INSERT INTO identity_user (id, name, display, fhir_user, roles, password)
            VALUES ('u', 'raonaidu@mail', 'Raonaidu', 'Patient/ann-7731', '{PATIENT}', 'x')"""
        )
        await connection.execute(
            """INSERT INTO identity_passkey
                (id, user_id, credential, attested, count, synced, name)
            VALUES ('k', 'u', '', '', 0, false, 'phone of Raonaidu')"""
        )
        await connection.execute(
            """INSERT INTO break_glass (key, actor, patient, reason, words, opened_at, until)
            VALUES (1, 'Practitioner/1', 'ann-7731', 'BTG', 'Raonaidu is ill', now(), now())"""
        )
    return client


def message(identifier: str, value: str) -> str:
    pid = f"PID|1||{identifier}||Doe^J"
    return f"MSH|^~!&|A|B|C|D|20260101||ORU^R01|1|P|2.5\r{pid}\rOBX|1|ST|x||{value}\r"


async def approved(server: Server) -> int:
    await erasure.ask(server, ONE, "ann-7731", "asked for by letter")
    return await erasure.approve(server, OTHER, "ann-7731")


async def everything(server: Server) -> str:
    """The text of all rows of all tables."""
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            """SELECT relname FROM pg_class
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"""
        )
        texts = []
        for (name,) in await cursor.fetchall():
            rows = await connection.execute(f'SELECT t::text FROM "{name}" AS t')
            texts += [f"{name}: {row[0]}" for row in await rows.fetchall()]
    return re.sub(r"\\x((?:[0-9a-f]{2})+)", _bytes, "\n".join(texts))


def _bytes(found: re.Match[str]) -> str:
    return bytes.fromhex(found[1]).decode("latin-1").replace("\r", " ").replace("\n", " ")


async def test_nothing_of_an_erased_patient_is_left(
    filled: httpx.AsyncClient, server: Server
) -> None:
    before = await everything(server)
    assert all(mark in before for mark in MARKS)
    number = await approved(server)
    await erasure.carry_out(server, number, [hl7.erase])
    after = await everything(server)
    kept = [line for line in after.splitlines() if any(mark in line for mark in MARKS)]
    # What another message says of its own patient is not the erased one's.
    assert [line.partition(":")[0] for line in kept if "hl7_message" not in line] == []
    assert len(kept) == 1
    assert (await filled.get("Observation/o1")).status_code == 404
    assert (await filled.get("Binary/letter")).status_code == 404
    assert (await filled.get("Observation/o2")).json()["hasMember"] == [{"display": "erased"}]
    members = (await filled.get("Group/g")).json()["member"]
    assert [one["entity"] for one in members] == [{"display": "erased"}, ref("Patient/bob")]


async def test_message_of_another_patient_stays(filled: httpx.AsyncClient, server: Server) -> None:
    gone = erasure.Erased("ann-7731", frozenset(("MRN-9042",)), frozenset(("Patient/ann-7731",)))
    assert await hl7.erase(server, gone) == 1
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT convert_from(raw, 'UTF8') FROM hl7_message")
        ((left,),) = await cursor.fetchall()
    assert "77^^^H" in left


async def test_audit_names_the_erased_by_a_pseudonym_and_stays_whole(
    filled: httpx.AsyncClient, server: Server
) -> None:
    await erasure.carry_out(server, await approved(server), [])
    await auditing.settle(server)
    name = ledger.pseudonym(server.registry.context.page_key, "Patient/ann-7731")
    found = (await filled.get("AuditEvent?action=R&_count=100")).json()
    named = [
        entity["what"].get("identifier", {}).get("value")
        for one in found["entry"]
        for entity in one["resource"]["entity"]
        if entity.get("role", {}).get("code") == "1"
    ]
    assert named == [name]
    async with server.database.connection() as connection:
        type_id = server.definitions.type_ids["AuditEvent"]
        key = server.registry.context.page_key
        assert await chain.verify(connection, key, type_id) == []


async def test_erasure_that_was_killed_goes_on(filled: httpx.AsyncClient, server: Server) -> None:
    number = await approved(server)

    async def dies(server: Server, gone: erasure.Erased) -> int:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await erasure.carry_out(server, number, [dies])
    assert (await filled.get("Patient/ann-7731")).status_code == 200
    await erasure.carry_out(server, number, [])
    await erasure.carry_out(server, number, [])
    assert (await filled.get("Patient/ann-7731")).status_code == 404


async def test_what_a_restore_brings_back_is_erased_again(
    filled: httpx.AsyncClient, server: Server
) -> None:
    await erasure.carry_out(server, await approved(server), [])
    async with server.database.statement() as connection:
        await connection.execute("DELETE FROM erased")  # the backup is older
    for one in (ANN, RESOURCES[3]):
        (await filled.put(f"{one['resourceType']}/{one['id']}", json=one)).raise_for_status()
    assert await erasure.apply(server, []) == 2
    assert (await filled.get("Patient/ann-7731")).status_code == 404
    assert (await filled.get("Observation/o1")).status_code == 404
    assert (await filled.get("Patient/bob")).status_code == 200


async def test_two_persons_erase_and_a_hold_keeps(
    filled: httpx.AsyncClient, server: Server
) -> None:
    with pytest.raises(Forbidden):
        await erasure.ask(server, replace(ONE, rights=NOTHING), "ann-7731", "because")
    with pytest.raises(NotFound):
        await erasure.ask(server, ONE, "nobody", "because")
    asked = {
        "resourceType": "Parameters",
        "parameter": [{"name": "reason", "valueString": "by letter"}],
    }
    assert (await filled.post("Patient/ann-7731/$expunge", json=asked)).status_code == 202
    # Behind an app by itself may be the very person who asked.
    service = Caller("client/s", "rest", Rights((), frozenset({erasure.SCOPE})))
    with pytest.raises(Forbidden):
        await erasure.approve(server, service, "ann-7731")
    with pytest.raises(Forbidden):
        await erasure.ask(server, service, "bob", "because")
    own = await filled.post("Patient/ann-7731/$expunge?approve=true")
    assert own.status_code == 409
    async with server.database.statement() as connection:
        await ledger.hold(connection, "ann-7731", "court order", "one")
    with pytest.raises(Conflict):
        await erasure.approve(server, OTHER, "ann-7731")
    assert (await filled.delete("Patient/ann-7731/$expunge")).status_code == 200
    assert (await filled.post("Patient/ann-7731/$expunge", json=asked)).status_code == 409
