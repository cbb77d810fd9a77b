"""Known faults of FHIR servers, each with what shows that it is not ours."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from fhir_server.access import binding, carried
from fhir_server.access.queries import guarded
from fhir_server.api import asynchronous, rest
from fhir_server.api.place import Place
from fhir_server.api.request import read_request
from fhir_server.caller import Caller
from fhir_server.config import Limits, SearchSettings
from fhir_server.errors import Forbidden, NotFound
from fhir_server.interactions import asynchronous as requests
from fhir_server.interactions.read import read
from fhir_server.r4 import json
from fhir_server.rights import (
    ANY,
    EVERYTHING,
    Cleared,
    Consented,
    Grant,
    Having,
    Inside,
    Matching,
    Related,
    Released,
    Rights,
    Wall,
)
from fhir_server.search.compile import count
from fhir_server.search.guard import UnguardedError
from fhir_server.search.parse import parse
from fhir_server.search.query import Query, Rules
from fhir_server.server import Server
from fhir_server.store.asynchronous import Deferred

from .restricted import Asking, asking, seen
from .test_restricted_writes import LAB, OF_ONE, observation, patient, put

Json = dict[str, Any]

__all__ = ["asking"]

BY_DOCTOR = "Patient:general-practitioner"
MINE: Wall = (Grant(ANY, "rs", OF_ONE),)


@pytest.fixture
async def held(client: httpx.AsyncClient) -> None:
    """Two patients, a doctor, an observation of each patient of two categories."""
    doctor = {"resourceType": "Practitioner", "id": "doctor"}
    others = [patient("mine", gender="male"), patient("other", gender="female")]
    for one in others:
        one["generalPractitioner"] = [{"reference": "Practitioner/doctor"}]
    await put(client, doctor, *others)
    await put(client, observation("mine", id="lab"), observation("mine", "vital-signs", id="vital"))
    await put(client, observation("other", id="o-lab", status="amended"))
    await put(client, observation("other", "vital-signs", id="o-vital"))


# 6: oracle by chain, `_has`, sort, `_filter`; 9: include leaves the compartment.
@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("Observation", ["Observation/lab", "Observation/vital"]),
        ("Observation?subject.gender=female", []),
        ("Patient?_has:Observation:patient:status=amended", []),
        ("Practitioner?_has:Patient:general-practitioner:gender=female", []),
        ("Practitioner?_has:Patient:general-practitioner:gender=male", ["Practitioner/doctor"]),
        (f"Practitioner?_revinclude={BY_DOCTOR}", ["Patient/mine", "Practitioner/doctor"]),
        ("Observation?_filter=subject.gender eq female", []),
        ("Patient?_sort=gender", ["Patient/mine"]),
        ("Patient?_id=other", []),
    ],
)  # fmt: skip
async def test_nothing_tells_of_another_patient(
    url: str, found: list[str], client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be(MINE)
    assert await seen(client, f"/{url}") == found


# 7: the answer to what is hidden.
@pytest.mark.usefixtures("held")
async def test_hidden_and_unknown_answer_alike(client: httpx.AsyncClient, asking: Asking) -> None:
    asking.be(MINE)
    hidden, unknown = await client.get("/Patient/other"), await client.get("/Patient/nobody")
    assert (hidden.status_code, hidden.text) == (404, unknown.text)
    assert hidden.headers.keys() == unknown.headers.keys()


@pytest.mark.usefixtures("held")
async def test_staff_may_be_told_that_something_is_hidden(server: Server) -> None:
    security = server.settings.security.model_copy(update={"hidden_read": 403})
    told = replace(server, settings=server.settings.model_copy(update={"security": security}))
    staff = Caller("tests", "rest", Rights((MINE,)), user="Practitioner/doctor")
    for asked, caller, id_, expected in (
        (told, staff, "other", Forbidden),
        (told, staff, "nobody", NotFound),
        (told, replace(staff, user="Patient/mine"), "other", NotFound),
        (server, staff, "other", NotFound),
    ):
        with pytest.raises(expected):
            await read(asked, caller, "Patient", id_)


# 8: a sub-query without the policy.
RULES = Rules(SearchSettings(), Limits())


def chained(server: Server) -> Query:
    return parse(server.registry, "Observation", [("subject:Patient.gender", "male")], RULES)


async def test_a_query_without_rights_does_not_compile(server: Server) -> None:
    rights = Rights((MINE,))
    with pytest.raises(UnguardedError):
        count(chained(server), None)
    with pytest.raises(UnguardedError):
        count(replace(chained(server), guard="walled"), None)
    assert "$" in count(guarded(server, rights, chained(server)), None).sql


FINAL = Matching((("status", "final"),))


# 11: scopes of several contexts are not mixed.
@pytest.mark.usefixtures("held")
async def test_one_whole_grant_decides(client: httpx.AsyncClient, asking: Asking) -> None:
    laboratory = Matching((("category", LAB),))
    asking.be(
        (
            Grant("Observation", "rs", (Inside("Patient", "mine"), laboratory)),
            Grant("Observation", "rs", (Inside("Patient", "other"), FINAL)),
        )
    )
    assert await seen(client, "/Observation") == ["Observation/lab", "Observation/o-vital"]
    asking.be(MINE, (Grant(ANY, "rs", (laboratory,)),))
    assert await seen(client, "/Observation") == ["Observation/lab"]
    totals = [
        (await client.get(f"/Observation?{one}")).json()["total"]
        for one in ("_summary=count", "_total=estimate")
    ]
    assert totals == [1, 1]


# 12: a constraint that cannot be kept is not dropped.
UNKEPT = {
    "colour": "red",
    "subject.gender": "male",
    "_has:Observation:subject:code": "x",
    "subject": "mine",
    "_count": "1",
    "code": "",
}


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("name", UNKEPT)
async def test_a_limit_that_cannot_be_kept_forbids(
    name: str, client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be(
        (Grant("Observation", "rs", (Matching(((name, UNKEPT[name]),)),)), Grant("Patient", "rs"))
    )
    answers = [
        await client.get(f"/Observation{one}")
        for one in ("", "/lab", "/_history", "?_summary=count")
    ]
    answers.append(await client.get("/Observation?x=y", headers={"prefer": "handling=lenient"}))
    assert [one.status_code for one in answers] == [403] * 5
    assert await seen(client, "/Patient?_has:Observation:subject:code=x") == []


async def test_codes_of_a_limit_are_asked_of_the_terminology(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    compose = {"include": [{"system": "urn:c", "concept": [{"code": "seen"}]}]}
    value_set = {"resourceType": "ValueSet", "id": "v", "url": "urn:v", "status": "active"}
    await put(client, patient("mine"), {**value_set, "compose": compose})
    for code in ("seen", "hidden"):
        coded = {"coding": [{"system": "urn:c", "code": code}]}
        await put(client, {**observation("mine", id=code), "code": coded})
    asking.be((Grant("Observation", "rs", (Matching((("code:in", "urn:v"),)),)),))
    assert await seen(client, "/Observation") == ["Observation/seen"]
    answers = [await client.get(f"/Observation/{one}") for one in ("seen", "hidden")]
    assert [one.status_code for one in answers] == [200, 404]
    asking.be((Grant("Observation", "rs", (Matching((("code:in", "urn:unknown"),)),)),))
    answers = [await client.get(f"/Observation{one}") for one in ("", "/seen", "/_history")]
    assert [one.status_code for one in answers] == [503] * 3


# 13, 14: page links of others, and forged ones.
@pytest.mark.usefixtures("held")
async def test_a_page_link_is_of_use_to_whom_it_was_given(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    walls = [MINE, (Grant("Observation", "rs"),)]
    links = []
    for path in ("/Observation?_count=1", "/Observation/_history?_count=1"):
        asking.be(MINE)
        bundle = (await client.get(path)).json()
        links.append(next(one["url"] for one in bundle["link"] if one["relation"] == "next"))
    for link in links:
        answers = []
        for wall in walls:
            asking.be(wall)
            answers.append(await client.get(link))
        asking.caller = replace(asking.caller, name="somebody")
        answers.append(await client.get(link))
        asking.be_all()
        answers += [await client.get(link), await client.get(f"{link[:-4]}AAAA")]
        assert [one.status_code for one in answers] == [200, 400, 400, 400, 400]
        assert len({one.text for one in answers[1:]}) == 1


# 19: a compartment search of another's, and of a type that it has not.
@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    "url", ["Patient/other/Observation", "Patient/nobody/Observation", "Patient/mine/Organization"]
)
async def test_another_compartment_is_none(
    url: str, client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be(MINE)
    assert (await client.get(f"/{url}")).status_code == 404


# 20: versions, histories and contents are under the rights of their resource.
@pytest.mark.usefixtures("held")
async def test_an_old_version_is_hidden_by_what_it_said(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    corrected = observation("mine", id="o-lab")
    assert (await client.put("/Observation/o-lab", json=corrected)).status_code == 200
    asking.be(MINE)
    versions = [await client.get(f"/Observation/o-lab/_history/{n}") for n in (1, 2)]
    assert [one.status_code for one in versions] == [404, 200]
    history = (await client.get("/Observation/o-lab/_history")).json()
    assert history["total"] == 1
    assert [one["resource"]["meta"]["versionId"] for one in history["entry"]] == ["2"]
    everything = (await client.get("/_history?_count=50")).json()
    assert "Patient/other" not in str(everything)
    assert len(everything["entry"]) == 5


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(("of", "status"), [("mine", 200), ("other", 404), (None, 404)])
async def test_a_binary_is_as_its_context(
    of: str | None, status: int, client: httpx.AsyncClient, asking: Asking
) -> None:
    binary: Json = {
        "resourceType": "Binary",
        "id": "image",
        "contentType": "text/plain",
        "data": "YQ==",
    }
    if of:
        binary["securityContext"] = {"reference": f"Patient/{of}"}
    await put(client, binary)
    asking.be(MINE)
    headers = {"accept": "application/fhir+json"}
    answers = [
        await client.get(f"/Binary/image{one}", headers=headers) for one in ("", "/_history/1")
    ]
    assert [one.status_code for one in answers] == [status, status]


# What is carried out later has the rights of who asked.
RIGHTS = Rights(
    (
        (Grant(ANY, "rs", (Inside("Patient", "1"), Related(("Practitioner/1",)))),),
        (Grant("Observation", "r", (Having("Encounter", (("status", "planned"),)), Released())),),
        (Grant(ANY, "s", (Cleared("N", ("HIV",)), Consented(("Practitioner/1",), "TREAT"))),),
    ),
    frozenset(("audit",)),
)


def test_a_carried_caller_is_the_same() -> None:
    caller = Caller("who", "rest", RIGHTS, "Practitioner/1", "app", "1", "BTG", "jti", "session")
    text = carried.sealed(b"key", caller, "request")
    assert carried.opened(b"key", text, "request") == caller
    assert carried.opened(b"key", text, "another") is None
    assert carried.opened(b"key", f"{text[:-4]}AAAA", "request") is None


async def test_a_request_of_whom_nobody_knows_is_not_carried_out(server: Server) -> None:
    caller = Caller("demo", "rest", EVERYTHING)
    deferred = Deferred("id", binding.of(caller), "GET", "Patient?", {}, b"")
    await requests.accept(server, caller, deferred)
    await carry_out(server)
    state = await requests.poll(server, caller, "id")
    assert state.answered is not None
    assert state.answered.status == 401


async def carry_out(server: Server) -> None:
    for lane in range(server.settings.asynchronous.lanes):
        await rest.carry_out(server, {"lane": lane})


def test_links_are_bound_to_name_client_and_rights() -> None:
    callers = [
        Caller("who", "rest", EVERYTHING),
        Caller("who", "rest", EVERYTHING, client="app"),
        Caller("who", "rest", RIGHTS),
        Caller("who", "rest", RIGHTS, client="app"),
        Caller("who", "rest", replace(RIGHTS, walls=RIGHTS.walls[:2])),
        Caller("else", "rest", RIGHTS),
    ]
    assert len({binding.of(one) for one in callers}) == len(callers)
    assert binding.of(replace(callers[2], rights=replace(RIGHTS))) == binding.of(callers[2])


@pytest.mark.usefixtures("held")
async def test_a_deferred_search_finds_what_its_caller_may_see(server: Server) -> None:
    mine = Caller("tests", "rest", Rights((MINE,)))
    scope = {"method": "GET", "raw_path": b"/Observation", "query_string": b"", "headers": []}
    request = read_request(scope, nothing, "")
    accepted = await asynchronous.accept(server, mine, request, Place("type"))
    id_ = accepted.headers["Content-Location"].rpartition("/")[2]
    await carry_out(server)
    for other in (replace(mine, rights=EVERYTHING), replace(mine, name="demo")):
        with pytest.raises(NotFound):
            await requests.poll(server, other, id_)
    state = await requests.poll(server, mine, id_)
    assert state.answered is not None
    entries = json.decode(state.answered.body)["entry"]
    assert sorted(one["resource"]["id"] for one in entries) == ["lab", "vital"]


async def nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}
