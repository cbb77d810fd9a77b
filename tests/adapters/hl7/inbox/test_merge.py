import asyncio
from typing import Any

import httpx
import pytest

from adapters.hl7.inbox import merge, process
from fhir_server.caller import trusted
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.inbox.joining import (
    IDS,
    MRG_A,
    MRG_B,
    MRG_C,
    A,
    B,
    C,
    adt,
    done,
    found,
    keep,
    patients,
    result,
    rows,
    subjects,
)

pytestmark = pytest.mark.anyio

WITH_A_PATIENT = ("Observation", "DiagnosticReport", "ServiceRequest")
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"


def links(patient: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["type"], one["other"]["reference"]) for one in patient.get("link", ())]


@pytest.mark.parametrize("event", ["A40", "A47"])
async def test_survivor_gets_everything(
    server: Server, client: httpx.AsyncClient, event: str
) -> None:
    assert await done(server, result(A, "F1"), result(B, "F2"), adt(event, B, MRG_A)) == []
    known = await patients(client, server)
    survivor, retired = (f"Patient/{known[one]['id']}" for one in "BA")
    assert (known["A"]["active"], links(known["A"])) == (False, [("replaced-by", survivor)])
    assert links(known["B"]) == [("replaces", retired)]
    (old,) = [one for one in known["B"]["identifier"] if one["value"] == "A"]
    assert (old["use"], old["system"]) == ("old", server.base + IDS)
    assert old["period"]["end"].startswith("2026-01-02")
    assert await subjects(client, WITH_A_PATIENT) == {survivor}


async def test_demographics_of_the_survivor_stay(server: Server, client: httpx.AsyncClient) -> None:
    assert await done(server, result(A, "F1"), adt("A40", B, MRG_A + "||||||Old^Name")) == []
    survivor = (await patients(client, server))["B"]
    assert survivor["birthDate"] == "1980-01-03"
    assert survivor["name"] == [
        {"family": "Rao", "given": ["Asha K"]},
        {"family": "Old", "given": ["Name"], "use": "old"},
    ]


async def test_everything_of_the_message_is_accounted_for(server: Server) -> None:
    await done(server, adt("A40", B, MRG_A + "||||||Old^Name"))
    ((unmapped,),) = await rows(server, "unmapped")
    assert [one for one in unmapped if one[0].startswith("MRG")] == []


async def test_result_after_the_merge_is_the_survivors(
    server: Server, client: httpx.AsyncClient
) -> None:
    messages = (result(A, "F1"), adt("A40", B, MRG_A), result(A, "F1", "6", "C"), result(A, "F3"))
    assert await done(server, *messages) == []
    survivor = (await patients(client, server))["B"]
    assert await subjects(client, WITH_A_PATIENT) == {f"Patient/{survivor['id']}"}
    assert len(await found(client, "/Observation")) == 2
    assert len(await found(client, "/Patient")) == 2


async def test_account_and_visit_are_joined_with_their_patients(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, result(A + "\r" + PV1.format("V1"), "F1"))
    pid = f"PID|1||B^^^H^MR||Rao{'|' * 13}AC2^^^H"
    merging = adt("A36", pid, "MRG|A^^^H^MR||AC1^^^H||V1^^^H", PV1.format("V2"))
    assert await done(server, merging) == []
    (account,) = await found(client, "/Account")
    survivor = await visit(client, "V2")
    for one in (account, survivor):
        assert [each.get("use") for each in one["identifier"]] == [None, "old"]
    assert survivor == await visit(client, "V1")
    ((unmapped,),) = (await rows(server, "unmapped"))[1:]
    assert [one for one in unmapped if one[0].startswith("MRG")] == []


async def test_visit_number_without_a_visit_is_listed(server: Server) -> None:
    await done(server, adt("A40", B, MRG_A + "||||V1^^^H"))
    ((unmapped,),) = await rows(server, "unmapped")
    assert [one for one in unmapped if one[0].startswith("MRG")] == [
        ["MRG[1]-5[1].1.1", "condition_false"],
        ["MRG[1]-5[1].4.1", "condition_false"],
    ]


async def test_event_is_told(server: Server, client: httpx.AsyncClient) -> None:
    evn = "EVN|A40|20260103101500|||CLERK^Clerk"
    assert await done(server, adt("A40", evn, B, MRG_A)) == []
    told = await found(client, "/Provenance?_count=50")
    codes = {one["activity"]["coding"][0]["code"] for one in told if "activity" in one}
    assert {"A40", "merge"} <= codes
    (old,) = [
        one
        for one in (await patients(client, server))["B"]["identifier"]
        if one.get("use") == "old"
    ]
    assert old["period"]["end"].startswith("2026-01-03T10:15:00")


async def test_merge_before_either_is_known(server: Server, client: httpx.AsyncClient) -> None:
    assert await done(server, adt("A40", B, MRG_A), result(A, "F1")) == []
    known = await patients(client, server)
    assert (known["A"]["active"], len(known)) == (False, 2)
    assert await subjects(client, WITH_A_PATIENT) == {f"Patient/{known['B']['id']}"}


async def test_new_number_keeps_what_is_known_of_the_person(
    server: Server, client: httpx.AsyncClient
) -> None:
    known = "PID|1||A^^^H^MR||Rao^Asha||19800102|F|||1 Road^^Pune||0123"
    new_number = adt("A47", "PID|1||B^^^H^MR||Rao^Asha Devi", MRG_A)
    assert await done(server, adt("A28", known), new_number) == []
    person = (await patients(client, server))["B"]
    assert person["name"] == [{"family": "Rao", "given": ["Asha Devi"]}]
    assert (person["birthDate"], person["gender"]) == ("1980-01-02", "female")
    assert person["address"] == [{"line": ["1 Road"], "city": "Pune"}]
    assert [one["value"] for one in person["telecom"]] == ["0123"]
    assert (person.get("active"), [kind for kind, _ in links(person)]) == (None, ["replaces"])


async def test_merge_again_changes_nothing(server: Server, client: httpx.AsyncClient) -> None:
    assert await done(server, result(A, "F1"), adt("A40", B, MRG_A)) == []
    before = await patients(client, server)
    assert await done(server, adt("A40", B, MRG_A)) == []
    assert await patients(client, server) == before
    async with server.database.connection() as connection:
        assert await merge_count(connection) == 1


async def merge_count(connection: Any) -> int:
    cursor = await connection.execute("SELECT count(*) FROM hl7_merge")
    return int((await cursor.fetchone())[0])


async def test_chain_ends_at_the_last(server: Server, client: httpx.AsyncClient) -> None:
    merges = (adt("A40", B, MRG_A), adt("A40", C, MRG_B), adt("A40", B, MRG_A))
    assert await done(server, result(A, "F1"), result(B, "F2"), *merges, result(A, "F3")) == []
    last = (await patients(client, server))["C"]
    assert await subjects(client, WITH_A_PATIENT) == {f"Patient/{last['id']}"}
    assert sorted(one["value"] for one in last["identifier"]) == ["A", "B", "C"]


async def test_cycle_is_refused(server: Server, client: httpx.AsyncClient) -> None:
    assert await done(server, adt("A40", B, MRG_A), adt("A40", A, MRG_B)) == [
        ("dead", "MERGE_CYCLE")
    ]
    assert "active" not in (await patients(client, server))["B"]


async def test_patient_who_was_merged_elsewhere_is_a_conflict(
    server: Server, client: httpx.AsyncClient
) -> None:
    messages = (result(B, "F1"), adt("A40", B, MRG_A), adt("A40", C, MRG_A))
    assert await done(server, *messages) == [("dead", "PATIENT_CONFLICT")]
    known = await patients(client, server)
    assert await subjects(client, ["Observation"]) == {f"Patient/{known['B']['id']}"}


async def test_several_pairs_of_one_message(server: Server, client: httpx.AsyncClient) -> None:
    before = (result(A, "F1"), result(B, "F2"))
    merging = adt("A40", C, MRG_A, C, MRG_B)
    assert await done(server, *before, merging) == []
    last = (await patients(client, server))["C"]
    assert await subjects(client, WITH_A_PATIENT) == {f"Patient/{last['id']}"}


async def test_large_merge_waits_for_a_word(server: Server, client: httpx.AsyncClient) -> None:
    small = with_hl7(server, merge_limit=2)
    assert await done(small, result(A, "F1"), adt("A40", B, MRG_A)) == [("dead", "MERGE_TOO_LARGE")]
    assert set(await patients(client, server)) == {"A"}
    async with server.database.statement() as connection:
        await connection.execute(
            "UPDATE hl7_message SET state = 'stored', confirmed = true WHERE state = 'dead'"
        )
    await process.run(small, {})
    assert await rows(server) == [("done", None)] * 2
    survivor = (await patients(client, server))["B"]
    assert await subjects(client, WITH_A_PATIENT) == {f"Patient/{survivor['id']}"}


async def test_history_and_what_tells_of_it_stay(server: Server, client: httpx.AsyncClient) -> None:
    await done(server, result(A, "F1"))
    retired = f"Patient/{(await patients(client, server))['A']['id']}"
    told = await client.post(
        "/Provenance",
        json={
            "resourceType": "Provenance",
            "target": [{"reference": retired}],
            "recorded": "2026-01-01T00:00:00Z",
            "agent": [{"who": {"display": "x"}}],
        },
    )
    await client.post(
        "/Flag",
        json={
            "resourceType": "Flag",
            "status": "active",
            "code": {"text": "x"},
            "subject": {"reference": f"{retired}/_history/1"},
            "author": {"reference": f"{server.base}/{retired}"},
        },
    )
    assert await done(server, adt("A40", B, MRG_A)) == []
    survivor = f"Patient/{(await patients(client, server))['B']['id']}"
    assert (await client.get(f"/Provenance/{told.json()['id']}")).json() == told.json()
    (flag,) = await found(client, "/Flag")
    assert flag["subject"]["reference"] == f"{retired}/_history/1"
    assert flag["author"]["reference"] == survivor
    (observation,) = await found(client, "/Observation")
    first = (await client.get(f"/Observation/{observation['id']}/_history/1")).json()
    assert first["subject"]["reference"] == retired


async def test_provenance_lists_every_version(server: Server, client: httpx.AsyncClient) -> None:
    await done(server, result(A, "F1"), result(B, "F2"), adt("A40", B, MRG_A))
    told = [
        one
        for one in await found(client, "/Provenance?_count=100")
        if one.get("activity", {}).get("coding", [{}])[0] == {"system": LIFECYCLE, "code": "merge"}
    ]
    (merged,) = told
    kinds = sorted(one["reference"].split("/")[0] for one in merged["target"])
    assert kinds == sorted([*WITH_A_PATIENT, "Patient", "Patient"])
    for one in merged["target"]:
        assert (await client.get(f"/{one['reference']}")).status_code == 200


@pytest.mark.parametrize("event", ["A24", "A37"])
async def test_patients_are_linked_and_unlinked(
    server: Server, client: httpx.AsyncClient, event: str
) -> None:
    messages = [adt("A24", A, "PV1|1", B.replace("PID|1", "PID|2"), "PV1|1")]
    messages += [adt("A37", A, B)] if event == "A37" else []
    assert await done(server, *messages) == []
    known = await patients(client, server)
    there = event == "A24"
    assert links(known["A"]) == [("seealso", f"Patient/{known['B']['id']}")] * there
    assert links(known["B"]) == [("seealso", f"Patient/{known['A']['id']}")] * there


async def test_identifier_moves_to_another_patient(
    server: Server, client: httpx.AsyncClient
) -> None:
    both = "PID|1||A^^^H^MR~X^^^H^MR||Rao"
    moving = adt("A43", B, "MRG|X^^^H^MR")
    assert await done(server, result(both, "F1"), moving, result("PID|1||X^^^H", "F2")) == []
    known = await patients(client, server)
    assert known["X"] == known["B"]
    assert await subjects(client, ["Observation"]) == {
        f"Patient/{known['A']['id']}",
        f"Patient/{known['B']['id']}",
    }


PV1 = "PV1|1|I|W^1^1||||||||||||||||{}^^^H"


async def visit(client: httpx.AsyncClient, value: str) -> dict[str, Any]:
    (one,) = await found(client, f"/Encounter?identifier={value}")
    return one


@pytest.mark.parametrize("event", ["A50"])
async def test_visit_takes_over_another(
    server: Server, client: httpx.AsyncClient, event: str
) -> None:
    await done(server, result(A + "\r" + PV1.format("V1"), "F1"))
    merging = adt(event, A, f"{MRG_A}||||V1^^^H", PV1.format("V2"))
    assert await done(server, merging) == []
    survivor = await visit(client, "V1")
    assert survivor == await visit(client, "V2")
    uses = {one["value"]: one.get("use") for one in survivor["identifier"]}
    assert uses == {"V1": "old", "V2": None}
    assert survivor["status"] == "in-progress"
    (observation,) = await found(client, "/Observation")
    assert observation["encounter"]["reference"] == f"Encounter/{survivor['id']}"
    assert {one["status"] for one in await found(client, "/Encounter")} == {
        "in-progress",
        "entered-in-error",
    }


async def test_visit_with_a_new_number_keeps_what_is_known_of_it(
    server: Server, client: httpx.AsyncClient
) -> None:
    # Who has no number is contained in the visit, and goes with it.
    known = PV1.format("V1").split("|")
    known[7] = "^Attending"
    place = PV1.format("V2").replace("W^1^1", "")
    merging = adt("A50", A, f"{MRG_A}||||V1^^^H", place)
    assert await done(server, adt("A01", A, "|".join(known)), merging) == []
    survivor = await visit(client, "V2")
    assert [one["name"] for one in survivor["contained"]] == [[{"family": "Attending"}]]
    (attending,) = survivor["participant"]
    assert attending["individual"] == {"reference": f"#{survivor['contained'][0]['id']}"}
    assert [one["location"]["display"] for one in survivor["location"]] == ["W, 1, 1"]


async def test_visit_moves_to_another_patient(server: Server, client: httpx.AsyncClient) -> None:
    await done(server, result(A + "\r" + PV1.format("V1"), "F1"), result(A, "F2"))
    moving = adt("A45", B, f"{MRG_A}||||V1^^^H", PV1.format("V1"))
    assert await done(server, moving) == []
    known = {one: f"Patient/{has['id']}" for one, has in (await patients(client, server)).items()}
    assert (await visit(client, "V1"))["subject"]["reference"] == known["B"]
    assert [
        one["subject"]["reference"]
        for filler in ("F1", "F2")
        for one in await found(client, f"/DiagnosticReport?identifier={filler}")
    ] == [known["B"], known["A"]]
    # The report is its new patient's also for what comes later.
    assert await done(server, result(B + "\r" + PV1.format("V1"), "F1", "7", "C")) == []


@pytest.mark.parametrize("event", ["A41"])
async def test_account_takes_over_another(
    server: Server, client: httpx.AsyncClient, event: str
) -> None:
    await done(server, result(A, "F1"))
    subject = {"reference": f"Patient/{(await patients(client, server))['A']['id']}"}
    old = await client.post(
        "/Account",
        json={
            "resourceType": "Account",
            "status": "active",
            "name": "A1",
            "identifier": [{"system": server.base + IDS, "value": "AC1"}],
            "subject": [subject],
        },
    )
    charge = {
        "resourceType": "ChargeItem",
        "status": "billable",
        "code": {"text": "x"},
        "subject": subject,
        "account": [{"reference": f"Account/{old.json()['id']}"}],
    }
    await client.post("/ChargeItem", json=charge)
    pid = f"PID|1||A^^^H^MR||Rao{'|' * 13}AC2^^^H"
    assert await done(server, adt(event, pid, "MRG|A^^^H^MR||AC1^^^H")) == []
    (survivor,) = await found(client, "/Account?identifier=AC2")
    assert survivor["name"] == "A1"
    assert {one["value"]: one.get("use") for one in survivor["identifier"]} == {
        "AC1": "old",
        "AC2": None,
    }
    (charged,) = await found(client, "/ChargeItem")
    assert charged["account"] == [{"reference": f"Account/{survivor['id']}"}]
    assert (await client.get(f"/Account/{old.json()['id']}")).json()["status"] == "inactive"


async def test_account_moves_with_its_visits(server: Server, client: httpx.AsyncClient) -> None:
    await done(server, result(A + "\r" + PV1.format("V1"), "F1"))
    known = await patients(client, server)
    account = await client.post(
        "/Account",
        json={
            "resourceType": "Account",
            "status": "active",
            "identifier": [{"system": server.base + IDS, "value": "AC1"}],
            "subject": [{"reference": f"Patient/{known['A']['id']}"}],
        },
    )
    encounter = await visit(client, "V1")
    encounter["account"] = [{"reference": f"Account/{account.json()['id']}"}]
    await client.put(f"/Encounter/{encounter['id']}", json=encounter)
    assert await done(server, adt("A44", B, "MRG|A^^^H^MR||AC1^^^H")) == []
    taker = f"Patient/{(await patients(client, server))['B']['id']}"
    (moved,) = await found(client, "/Account")
    assert moved["subject"] == [{"reference": taker}]
    kinds = ("Encounter", "Observation", "DiagnosticReport", "ServiceRequest")
    assert await subjects(client, kinds) == {taker}


async def test_reference_that_is_being_written_moves_too(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, result(A, "F1"), result(B, "F2"))
    known = await patients(client, server)
    await keep(server, adt("A40", B, MRG_A))
    flag = {
        "resourceType": "Flag",
        "status": "active",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{known['A']['id']}"},
    }
    async with server.database.transaction() as other:
        await transaction(server, other, trusted("x", "rest"), [Entry("POST", "Flag", flag)])
        merging = asyncio.create_task(process.run(server, {}))
        while not await waits_for_a_lock(server):
            assert not merging.done()
            await asyncio.sleep(0.01)
    await merging
    assert await rows(server) == [("done", None)] * 3
    assert await subjects(client, ["Flag"]) == {f"Patient/{known['B']['id']}"}


async def waits_for_a_lock(server: Server) -> bool:
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        row = await cursor.fetchone()
        return bool(row and row[0])


async def test_pair_without_a_prior_patient_is_refused(server: Server) -> None:
    assert await done(server, adt("A40", B, "MRG|^^^H^MR"), adt("A40", B, MRG_C, C)) == [
        ("dead", "NO_PATIENT_ID"),
        ("dead", "NO_PATIENT_ID"),
    ]


async def test_all_that_refers_is_found_page_by_page(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "_PIECE", 2)
    monkeypatch.setattr(merge, "MOST_TARGETS", 4)
    before = [result(A, f"F{number}") for number in range(3)]
    assert await done(server, *before, adt("A40", B, MRG_A)) == []
    survivor = (await patients(client, server))["B"]
    assert await subjects(client, WITH_A_PATIENT) == {f"Patient/{survivor['id']}"}
    told = [
        len(one["target"])
        for one in await found(client, "/Provenance?_count=100")
        if one["activity"]["coding"][0]["code"] == "merge"
    ]
    assert sorted(told) == [3, 4, 4]


async def test_results_under_other_numbers_at_the_same_time_are_the_survivors(
    server: Server, client: httpx.AsyncClient
) -> None:
    """They share no partition with the merge: the rows of the Patients keep them apart."""
    wide = with_hl7(server, workers=4, batch_messages=1)
    both = [f"PID|1||A{n}^^^H^MR~X{n}^^^N^PI||Rao" for n in range(8)]
    assert await done(wide, *(result(pid, f"F{n}") for n, pid in enumerate(both))) == []
    for n in range(8):
        await keep(
            wide,
            adt("A40", f"PID|1||B{n}^^^H^MR||Rao", f"MRG|A{n}^^^H^MR"),
            *(result(f"PID|1||X{n}^^^N^PI||Rao", f"G{n}-{m}") for m in range(2)),
        )
    await process.run(wide, {})
    assert set(await rows(server)) == {("done", None)}
    known = await patients(client, server)
    survivors = {f"Patient/{known[f'B{n}']['id']}" for n in range(8)}
    assert await subjects(client, WITH_A_PATIENT) == survivors
