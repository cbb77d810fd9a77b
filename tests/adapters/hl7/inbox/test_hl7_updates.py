"""What becomes of stored resources when messages come late, again, or before others."""

import dataclasses
from typing import Any

import httpx
import pytest

from adapters.hl7.inbox import apply, process, writing
from adapters.hl7.mapping import transform
from adapters.hl7.mapping.context import Context, Link
from adapters.hl7.mapping.messages import oru as oru_map
from adapters.hl7.mapping.transform import MessageMap
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.inbox.test_hl7_process import done, found, keep, oru, rows

pytestmark = pytest.mark.anyio

PID = "PID|1||P1^^^H^MR||Rao^Asha||19800102|F"


def result(
    at: str,
    value: str,
    status: str = "F",
    *,
    code: str = "GLU",
    report: str = "",
    number: str = "F1",
) -> bytes:
    """Return a result as of a day of 2026, `0105`."""
    return oru(
        PID,
        f"OBR|1|O1|{number}|PANEL^Panel|||20260101120000|||||||||||||||2026{at}120000|||{report}",
        f"OBX|1|NM|{code}||{value}||||||{status}",
        control_id=f"C{at}{value}{status}{code}{report}",
    )


def adt(event: str, at: str, pid: str, *more: str) -> bytes:
    header = f"MSH|^~\\&|HIS|H|EHR|H|2026{at}120000||ADT^{event}|A{event}{at}{len(pid)}|P|2.5.1"
    lines = [header, f"EVN|{event}|2026{at}120000", pid, *more]
    return ("\r".join(lines) + "\r").encode()


async def only(client: httpx.AsyncClient, query: str) -> dict[str, Any]:
    (resource,) = await found(client, query)
    return resource


async def test_late_result_is_stale_and_changes_nothing(
    server: Server, client: httpx.AsyncClient
) -> None:
    states = await done(server, result("0105", "5"), result("0104", "4"))
    assert states == [("done", None), ("stale", None)]
    observation = await only(client, "/Observation")
    assert (observation["valueQuantity"], observation["meta"]["versionId"]) == ({"value": 5}, "1")


@pytest.mark.parametrize(
    ("status", "value", "reason"),
    [("C", None, "unknown"), ("F", None, "unknown"), ("P", None, None), ("D", 5, None)],
)
async def test_value_that_is_deleted_is_gone_unless_the_result_is(
    server: Server, client: httpx.AsyncClient, status: str, value: int | None, reason: str | None
) -> None:
    known = result("0105", "5", "P").replace(b"||5||||||", b"||5|mg/dL|3-7|N|||")
    assert await done(server, known, result("0106", '""', status)) == [("done", None)] * 2
    observation = await only(client, "/Observation")
    assert observation.get("valueQuantity", {}).get("value") == value
    said = observation.get("dataAbsentReason", {}).get("coding", [{}])[0].get("code")
    assert said == reason
    kept = {"interpretation", "referenceRange"} if value else set()
    assert observation.keys() & {"interpretation", "referenceRange"} == kept


async def test_late_correction_does_not_undo_a_newer_result(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, result("0105", "5"), result("0104", "4", "C"))
    assert (await only(client, "/Observation"))["status"] == "final"


async def test_newer_preliminary_result_is_told_and_not_applied(
    server: Server, client: httpx.AsyncClient
) -> None:
    states = await done(server, result("0105", "5"), result("0106", "6", "P", report="P"))
    assert states == [("done", None)] * 2
    observation = await only(client, "/Observation")
    assert (observation["status"], observation["valueQuantity"]) == ("final", {"value": 5})
    _, (warnings,) = await rows(server, "warnings")
    assert warnings == {"A preliminary result came after the final one": 2}


async def test_regression_may_be_allowed(server: Server, client: httpx.AsyncClient) -> None:
    await done(
        with_hl7(server, allow_regression=True), result("0105", "5"), result("0106", "6", "P")
    )
    assert (await only(client, "/Observation"))["status"] == "preliminary"


async def test_late_message_brings_what_was_not_there(
    server: Server, client: httpx.AsyncClient
) -> None:
    states = await done(server, result("0105", "5"), result("0104", "7", code="NA"))
    assert states == [("done", None)] * 2
    observations = {
        o["id"]: o["code"]["coding"][0]["code"] for o in await found(client, "/Observation")
    }
    report = await only(client, "/DiagnosticReport")
    linked = [observations[one["reference"].partition("/")[2]] for one in report["result"]]
    assert linked == ["GLU", "NA"]


async def test_each_result_of_a_report_has_its_own_time(
    server: Server, client: httpx.AsyncClient
) -> None:
    """The report went on to the 7th by NA alone: GLU of the 6th is not late."""
    states = await done(
        server,
        result("0105", "5"),
        result("0107", "7", code="NA"),
        result("0106", "6"),
        result("0104", "4"),
    )
    assert [state for state, _ in states] == ["done", "done", "done", "stale"]
    glucose = await only(client, "/Observation?code=GLU")
    assert glucose["valueQuantity"] == {"value": 6}


async def test_withdrawn_result_keeps_its_value(server: Server, client: httpx.AsyncClient) -> None:
    await done(server, result("0105", "5"), result("0106", "", "D"))
    observation = await only(client, "/Observation")
    assert (observation["status"], observation["valueQuantity"]) == (
        "entered-in-error",
        {"value": 5},
    )


async def test_result_of_the_wrong_person_is_withdrawn_where_it_is(
    server: Server, client: httpx.AsyncClient
) -> None:
    wrong = result("0106", "9").replace(b"P1^^^H", b"P2^^^H").replace(b"C01069", b"X1")
    right = result("0107", "", "W", report="X").replace(b"P1^^^H", b"P2^^^H")
    states = await done(server, result("0105", "5"), wrong, right)
    assert states == [("done", None), ("dead", "PATIENT_CONFLICT"), ("done", None)]
    observation = await only(client, "/Observation")
    patient = await only(client, "/Patient?identifier=P1")
    assert observation["status"] == "entered-in-error"
    assert observation["subject"] == {"reference": f"Patient/{patient['id']}"}


async def test_result_after_result_keeps_what_rest_added(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, result("0105", "5"))
    observation = await only(client, "/Observation")
    changed = {**observation, "bodySite": {"text": "arm"}}
    assert (await client.put(f"/Observation/{observation['id']}", json=changed)).status_code == 200
    await done(server, result("0106", "6", "C"))
    again = await only(client, "/Observation")
    assert (again["bodySite"], again["valueQuantity"]) == ({"text": "arm"}, {"value": 6})


async def test_digits_alone_are_a_change(server: Server, client: httpx.AsyncClient) -> None:
    await done(server, result("0105", "1.4"), result("0106", "1.40"), result("0107", "1.40"))
    (entry,) = (await client.get("/Observation")).json()["entry"]
    assert entry["resource"]["meta"]["versionId"] == "2"
    text = (await client.get("/Observation")).text.replace(" ", "")
    assert '"value":1.40' in text


async def test_adt_fills_the_patient_that_a_result_made(
    server: Server, client: httpx.AsyncClient
) -> None:
    late = "PID|1||P1^^^H^MR||Rao^Asha^Devi||19800102|F"
    message = adt("A31", "0101", late).replace(b"|HIS|H|", b"|LIS|LAB|")
    states = await done(server, result("0105", "5"), message)
    assert states == [("done", None)] * 2
    assert (await only(client, "/Patient"))["name"] == [
        {"family": "Rao", "given": ["Asha", "Devi"]}
    ]


async def test_older_adt_fills_only_what_is_empty(
    server: Server, client: httpx.AsyncClient
) -> None:
    states = await done(
        server,
        adt("A31", "0105", "PID|1||P1^^^H^MR||New^Name|||F"),
        adt("A31", "0104", "PID|1||P1^^^H^MR||Old^Name||19800102|M"),
        adt("A31", "0103", "PID|1||P1^^^H^MR||Older^Name||1979"),
    )
    assert [state for state, _ in states] == ["done", "done", "stale"]
    patient = await only(client, "/Patient")
    assert (patient["name"][0]["family"], patient["gender"], patient["birthDate"]) == (
        *("New", "female", "1980-01-02"),
    )


BORN = "PID|1||P1^^^H^MR||Rao^Asha||19800102|F"
NOT_SAID = "PID|1||P1^^^H^MR||Rao^Asha|||F"
DELETED = 'PID|1||P1^^^H^MR||Rao^Asha||""|F'


@pytest.mark.parametrize(
    ("messages", "born"),
    [
        pytest.param([("0105", BORN), ("0107", DELETED), ("0106", BORN)], None, id="late"),
        pytest.param([("0107", DELETED), ("0106", BORN)], None, id="first"),
        pytest.param(
            [("0105", DELETED), ("0107", NOT_SAID), ("0106", BORN)], None, id="not_said_since"
        ),
        pytest.param(
            [("0105", DELETED), ("0107", BORN), ("0108", DELETED), ("0109", BORN)],
            "1980-01-02",
            id="said_again",
        ),
        pytest.param([("0107", NOT_SAID), ("0106", BORN)], "1980-01-02", id="never_deleted"),
    ],
)
@pytest.mark.parametrize("together", [True, False], ids=["in_one_group", "one_by_one"])
async def test_older_adt_does_not_fill_what_a_newer_one_deleted(
    server: Server,
    client: httpx.AsyncClient,
    messages: list[tuple[str, str]],
    born: str | None,
    *,
    together: bool,
) -> None:
    sent = [adt("A31", at, pid) for at, pid in messages]
    for group in [sent] if together else [[one] for one in sent]:
        await done(server, *group)
    patient = await only(client, "/Patient")
    assert patient.get("birthDate") == born


async def test_what_is_said_after_a_deletion_may_be_filled_again(
    server: Server, client: httpx.AsyncClient
) -> None:
    for at, pid in (("0105", DELETED), ("0107", BORN)):
        await done(server, adt("A31", at, pid))
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT cleared FROM hl7_applied")
        assert await cursor.fetchall() == [(None,)]


async def test_results_may_change_patients(server: Server, client: httpx.AsyncClient) -> None:
    all_ = with_hl7(server, patient_update="all")
    other = result("0106", "6").replace(b"Rao^Asha", b"Iyer^Asha")
    await done(all_, result("0105", "5"), other)
    assert (await only(client, "/Patient"))["name"][0]["family"] == "Iyer"


async def test_no_message_may_change_patients(server: Server, client: httpx.AsyncClient) -> None:
    none = with_hl7(server, patient_update="none")
    await done(none, adt("A31", "0105", PID), adt("A31", "0106", PID.replace("Rao", "Iyer")))
    assert (await only(client, "/Patient"))["name"][0]["family"] == "Rao"


@pytest.mark.parametrize(("strict", "state"), [(False, "done"), (True, "dead")])
async def test_other_demographics_are_told_or_refused(
    server: Server, *, strict: bool, state: str
) -> None:
    other = result("0106", "6").replace(b"19800102", b"19900102")
    states = await done(with_hl7(server, strict_demographics=strict), result("0105", "5"), other)
    assert states == [("done", None), (state, "PATIENT_CONFLICT" if strict else None)]
    if not strict:
        _, (warnings,) = await rows(server, "warnings")
        assert warnings == {"Name, birth date or sex differ from those of the patient": 1}


async def test_result_without_patient_may_make_one_for_its_order(
    server: Server, client: httpx.AsyncClient
) -> None:
    unknown = result("0105", "5").replace(b"P1^^^H^MR", b"")
    again = result("0106", "6", "C").replace(b"P1^^^H^MR", b"")
    states = await done(with_hl7(server, anonymous_patients=True), unknown, again)
    assert states == [("done", None)] * 2
    assert len(await found(client, "/Patient")) == 1
    assert (await only(client, "/Observation"))["valueQuantity"] == {"value": 6}


async def test_kinds_of_identifiers_that_do_not_match_make_another_patient(
    server: Server, client: httpx.AsyncClient
) -> None:
    strict = with_hl7(server, patient_match=("national", "MR"))
    first = result("0105", "5").replace(b"P1^^^H^MR", b"P1^^^H^MR~X^^^H^PI")
    second = result("0106", "6", number="F2").replace(b"P1^^^H^MR", b"P2^^^H^MR~X^^^H^PI")
    second = second.replace(b"|O1|", b"|O2|")
    await done(strict, first, second)
    assert len(await found(client, "/Patient")) == 2


async def test_merged_patient_is_never_matched(server: Server, client: httpx.AsyncClient) -> None:
    system = f"{server.base}/hl7/LIS-LAB/ids/H"
    person = {"resourceType": "Patient", "identifier": [{"system": system, "value": "X"}]}
    survivor = (await client.post("/Patient", json=person)).json()
    other = {"reference": f"Patient/{survivor['id']}"}
    link = {"link": [{"type": "replaced-by", "other": other}], "active": False}
    person = {"resourceType": "Patient", "identifier": [{"system": system, "value": "P1"}]}
    await client.post("/Patient", json={**person, **link})
    await done(server, result("0105", "5"))
    assert (await only(client, "/Observation"))["subject"] == other


async def test_message_leaves_one_provenance(server: Server, client: httpx.AsyncClient) -> None:
    again = result("0105", "5").replace(b"|C01055F", b"|again")
    await done(server, result("0105", "5"), again, result("0107", "6", "C"))
    first, last = sorted(await found(client, "/Provenance"), key=lambda one: one["recorded"])
    (versions, _, later) = [set(v) for (v,) in await rows(server, "result_versions")]
    assert {one["reference"] for one in first["target"]} == versions
    assert {one["reference"] for one in last["target"]} < later
    assert first["occurredDateTime"] == "2026"
    assert [one["type"]["coding"][0]["code"] for one in first["agent"]] == ["assembler", "author"]
    assert first["agent"][1]["who"] == {"type": "Organization", "display": "LAB"}
    (entity,) = first["entity"]
    assert entity["what"]["identifier"] == {
        "system": f"{server.base}/hl7/message",
        "value": str((await rows(server, "id"))[0][0]),
    }


async def test_message_itself_may_be_a_document(server: Server, client: httpx.AsyncClient) -> None:
    await done(with_hl7(server, raw_as_document=True), result("0105", "5"))
    document = await only(client, "/DocumentReference")
    provenance = await only(client, "/Provenance")
    assert provenance["entity"][0]["what"]["reference"] == f"DocumentReference/{document['id']}"


@pytest.fixture
def linking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have OBX-4 of a message name the Observation (OBX-21) that it was derived from."""

    def results(ctx: Context) -> None:
        oru_map.results(ctx)
        for write in list(ctx.writes.values()):
            if write.resource["resourceType"] != "Observation":
                continue
            (obx,) = (one for one in ctx.message.segments if one.name == "OBX")
            parent = obx.raw(4)
            if parent:
                system = ctx.profile.ids("observation")
                target = (ctx.key_token(ctx.key("OBX-21", f"{system}|{parent}")),)
                ctx.links += [
                    Link(write.full_url, "derivedFrom", "Observation", target),
                    Link(write.full_url, "hasMember", "Observation", target, inverse=True),
                ]

    changed = {**transform._MAPS, ("ORU", "R01"): MessageMap(results)}  # noqa: SLF001  (a map of the test's)
    monkeypatch.setattr(transform, "_MAPS", changed)


def linked(name: str, parent: str, at: str = "0105") -> bytes:
    return oru(
        PID,
        f"OBR|1||F{name}|X|||||||||||||||||||2026{at}120000",
        f"OBX|1|NM|{name}|{parent}|1||||||F||||||||||{name}",
        control_id=f"L{name}{at}",
    )


@pytest.mark.parametrize("order", ["PC", "CP", "CPC", "CCP"])
@pytest.mark.usefixtures("linking")
async def test_links_become_literal_in_whichever_order_messages_come(
    server: Server, client: httpx.AsyncClient, order: str
) -> None:
    sent = {"P": linked("P", ""), "C": linked("C", "P")}
    messages = [
        sent[one].replace(b"0105|P|", b"%d|P|" % number) for number, one in enumerate(order)
    ]
    assert await done(server, *messages) == [("done", None)] * len(order)
    observations = await found(client, "/Observation")
    by_name = {one["code"]["coding"][0]["code"]: one for one in observations}
    parent, child = by_name["P"], by_name["C"]
    assert child["derivedFrom"] == [{"reference": f"Observation/{parent['id']}"}]
    assert parent["hasMember"] == [{"reference": f"Observation/{child['id']}"}]
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM hl7_pending_link")
        assert await cursor.fetchone() == (0,)


@pytest.mark.usefixtures("linking")
async def test_link_to_what_is_not_there_is_logical(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, linked("C", "P"))
    (reference,) = (await only(client, "/Observation"))["derivedFrom"]
    assert (reference["type"], reference["identifier"]["system"]) == (
        "Observation",
        f"{server.base}/hl7/key",
    )


async def test_group_of_messages_reads_what_is_stored_by_one_look(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = writing.named

    async def counted(*arguments: Any) -> Any:
        asked.append(1)
        return await real(*arguments)

    monkeypatch.setattr(writing, "named", counted)
    messages = [
        result("0105", "5", number=f"F{n}")
        .replace(b"P1^^^H", f"P{n}^^^H".encode())
        .replace(b"|O1|", f"|O{n}|".encode())
        for n in range(6)
    ]
    await keep(server, *messages)
    await process.run(server, {})
    assert len(asked) == 1


def oml(at: str, control: str = "NW") -> bytes:
    header = f"MSH|^~\\&|LIS|LAB|EHR|H|2026{at}120000||OML^O21|O{control}{at}|P|2.5.1"
    orc = f"ORC|{control}|O1|||||||2026{at}120000"
    segments = (header, PID, orc, "OBR|1|O1||PANEL^Panel|||||||||thirsty")
    return ("\r".join(segments) + "\r").encode()


async def test_order_after_its_result_fills_it_and_does_not_open_it_again(
    server: Server, client: httpx.AsyncClient
) -> None:
    answer = result("0105", "5").replace(b"OBR|1|", b"ORC|RE|O1|F1\rOBR|1|")
    states = await done(server, answer, oml("0101"))
    assert states == [("done", None)] * 2
    order = await only(client, "/ServiceRequest")
    assert order["status"] == "completed"
    assert order["authoredOn"].startswith("2026-01-01T12:00:00")
    assert (await only(client, "/Observation"))["basedOn"] == [
        {"reference": f"ServiceRequest/{order['id']}"}
    ]


async def test_late_order_is_not_taken_for_the_newest_state(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, oml("0103", "OC"), oml("0101"))
    assert (await only(client, "/ServiceRequest"))["status"] == "revoked"


async def test_visit_that_a_result_named_is_filled_by_adt(
    server: Server, client: httpx.AsyncClient
) -> None:
    visit = "PV1|1|I|W1||||||||||||||||V1^^^H"
    answer = result("0105", "5").replace(b"OBR|1|", b"PV1|1|I|||||||||||||||||V1^^^H\rOBR|1|")
    message = adt("A01", "0101", PID, visit).replace(b"|HIS|H|", b"|LIS|LAB|")
    assert await done(server, answer, message) == [("done", None)] * 2
    encounter = await only(client, "/Encounter")
    assert encounter["location"][0]["status"] == "active"
    assert (await only(client, "/Observation"))["encounter"] == {
        "reference": f"Encounter/{encounter['id']}"
    }


async def test_messages_under_load_are_judged_in_full_by_samples(server: Server) -> None:
    work = apply.Work(with_hl7(server, full_validation_every=3), server.base)
    row = apply.Row(1, result("0105", "5"), frozenset(), 0, "none", due=True)
    ready = await apply._mapped(work, row)  # noqa: SLF001  (as it comes to be judged)
    assert ready is not None
    assert [work.door([ready] * 25) for _ in range(6)] == [
        *("hl7", "hl7", "hl7"),
        *("sampled", "sampled", "hl7"),
    ]


async def test_way_in_that_has_its_own_judgement_keeps_it(server: Server) -> None:
    validation = server.settings.validation.model_copy(update={"doors": {"hl7": "full"}})
    settings = server.settings.model_copy(update={"validation": validation})
    work = apply.Work(dataclasses.replace(server, settings=settings), server.base)
    assert [work.door([]) for _ in range(3)] == ["hl7"] * 3
