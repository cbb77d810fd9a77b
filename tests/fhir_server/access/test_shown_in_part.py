"""Billing sees what was done, and nothing of what was written about it, by whatever way."""

import httpx
import pytest
from interactions.searching import observation, patient, put, ref

from fhir_server.access import restriction, roles
from fhir_server.access.role_table import shipped
from fhir_server.access.roles import Person
from fhir_server.interactions.visibility import NOTHING, visible
from fhir_server.rights import ANY, Grant, Inside
from fhir_server.search.condition import ALWAYS
from fhir_server.server import Server

from .restricted import Asking, Json, asking, status

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

SECRET = "zebra"
BILLING = roles.wall(shipped(), ["BILLING_STAFF"], Person("Practitioner/b"), {})
OF_ANN = (Grant(ANY, "cruds", (Inside("Patient", "ann"),)), *BILLING)


def condition(id_: str, **more: object) -> Json:
    return {
        "resourceType": "Condition",
        "id": id_,
        "text": {
            "status": "additional",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{SECRET}</div>',
        },
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "J10"}]},
        "subject": ref("Patient/ann"),
        "note": [{"text": SECRET}],
        **more,
    }


def account(**more: object) -> Json:
    return {
        "resourceType": "Account",
        "id": "bill",
        "status": "active",
        "subject": [ref("Patient/ann")],
        **more,
    }


async def stored(client: httpx.AsyncClient, asking: Asking) -> None:
    asking.be_all()
    await put(client, patient("ann"), condition("flu"), account())
    await put(client, condition("flu", recordedDate="2024-01-01"))
    asking.be(BILLING)


def bundle(kind: str, *urls: str) -> Json:
    entries = [{"request": {"method": "GET", "url": one}} for one in urls]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


READS = {
    "read": "/Condition/flu",
    "vread": "/Condition/flu/_history/1",
    "history": "/Condition/flu/_history",
    "type-history": "/Condition/_history",
    "search": "/Condition?code=J10",
    "summary": "/Condition?_summary=text",
    "elements": "/Condition/flu?_elements=note,code",
    "include": "/Patient?_revinclude=Condition:patient",
    "compartment": "/Patient/ann/Condition",
    "xml": "/Condition/flu?_format=xml",
    "pretty": "/Condition?_pretty=true",
}


async def test_what_was_written_is_in_no_answer(client: httpx.AsyncClient, asking: Asking) -> None:
    await stored(client, asking)
    for name, url in READS.items():
        answer = await client.get(url)
        assert answer.status_code == 200, name
        assert "flu" in answer.text, name
        assert "SUBSETTED" in answer.text, name
        assert SECRET not in answer.text, name
    for kind in ("batch", "transaction"):
        given = bundle(kind, "Condition/flu", "Condition?code=J10", "Condition/flu/_history/1")
        answer = await client.post("/", json=given)
        assert answer.text.count("SUBSETTED") == 3, kind
        assert SECRET not in answer.text, kind
    tag = (await client.get("/Condition/flu")).headers["ETag"]
    again = await client.get("/Condition/flu", headers={"If-None-Match": tag})
    assert (tag, again.status_code, again.text) == ('W/"2"', 304, "")


async def test_without_the_first_wall_the_second_keeps_what_is_left_out(
    client: httpx.AsyncClient, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(client, asking)
    monkeypatch.setattr(restriction, "_found", lambda *_: ALWAYS)
    answer = await client.get("/Condition/flu")
    restriction._kept.clear()  # noqa: SLF001  (what was compiled by the broken wall)
    assert (answer.status_code, SECRET in answer.text) == (500, False)


SEARCHES = (
    f"/Condition?_text={SECRET}",
    f"/Condition?_content={SECRET}",
    f"/?_type=Condition,Patient&_content={SECRET}",
    f"/Patient?_has:Condition:patient:_content={SECRET}",
    f"/Encounter?diagnosis:Condition._text={SECRET}",
)


async def test_what_is_not_seen_is_not_searched_by(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be(BILLING)
    assert {one: await status(client, one) for one in SEARCHES} == dict.fromkeys(SEARCHES, 403)
    asking.be_all()
    assert {await status(client, one) for one in SEARCHES} == {200}


async def test_other_types_are_searched_by_their_words(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be(BILLING)
    assert await status(client, "/Account?_content=anything") == 200


CONTAINED = [
    {"resourceType": "Practitioner", "id": "p", "name": [{"family": "Rao"}]},
    {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "history"},
        "valueString": SECRET,
    },
]


async def test_what_is_contained_is_shown_by_types_that_are_seen(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await stored(client, asking)
    asking.be_all()
    evidence = [{"detail": [ref("#o")]}]
    more = {"contained": CONTAINED, "evidence": evidence, "asserter": ref("#p")}
    await put(client, condition("flu", **more))
    by_value = f"/Condition?_elements=id&evidence-detail:Observation.value-string={SECRET}"
    assert "entry" in (await client.get(by_value)).json()
    asking.be(BILLING)
    found = (await client.get("/Condition/flu")).json()
    assert found["contained"] == [CONTAINED[0], {"resourceType": "Observation", "id": "o"}]
    assert "entry" not in (await client.get(by_value)).json()
    by_name = (await client.get("/Condition?asserter:Practitioner.name=Rao")).json()
    assert [one["resource"]["id"] for one in by_name["entry"]] == ["flu"]


async def test_what_belongs_to_it_is_not_shown(
    client: httpx.AsyncClient, asking: Asking, server: Server
) -> None:
    await stored(client, asking)
    asking.be_all()
    context = {"securityContext": ref("Observation/x"), "contentType": "text/plain"}
    binary = {"resourceType": "Binary", "id": "b", "data": "eHg=", **context}
    await put(client, observation("x", "Patient/ann"), binary)
    kept, cut = Grant("Observation", "rs"), Grant("Observation", "rs", (), ("note",))
    of_ann = Grant("Binary", "rs", (Inside("Patient", "ann"),))
    for one, code in ((cut, 403), (kept, 200)):
        asking.be((one, of_ann))
        assert await status(client, "/Observation/x") == 200
        assert await status(client, "/Binary/b") == code
        # Nor by another door, which shows all that it has.
        async with server.database.connection() as connection:
            found = await visible(server, connection, asking.caller, "Observation", "r", "'x'")
        assert (found == NOTHING) is (code != 200)


async def test_codes_are_seen_for_an_account_or_a_claim_alone(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await stored(client, asking)
    found = (await client.get("/Condition/flu")).json()
    assert found["code"] == condition("flu")["code"]
    assert found["meta"]["versionId"] == "2"
    asking.be_all()
    await put(client, account(status="entered-in-error"))
    asking.be(BILLING)
    assert await status(client, "/Condition/flu") == 404


async def test_what_is_shown_in_part_is_not_stored_again(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await stored(client, asking)
    found = (await client.get("/Condition/flu")).json()
    assert (await client.put("/Condition/flu", json=found)).status_code == 403
    asking.be_all()
    assert (await client.put("/Condition/flu", json=found)).status_code == 422
    assert SECRET in (await client.get("/Condition/flu")).text


async def test_who_may_see_it_whole_for_another_reason_does(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await stored(client, asking)
    other = account(id="other", subject=[ref("Patient/bob")])
    asking.be_all()
    await put(client, patient("bob"), other, condition("cold", subject=ref("Patient/bob")))
    asking.be(OF_ANN)
    answer = (await client.get("/Condition")).json()
    shown = {one["resource"]["id"]: "note" in one["resource"] for one in answer["entry"]}
    assert shown == {"flu": True, "cold": False}
