"""What may be written by who may not write everything."""

from typing import Any

import httpx
import pytest

from fhir_server.rights import Cleared, Grant, Inside, Matching, Wall

from .restricted import Asking, asking

Json = dict[str, Any]

__all__ = ["asking"]

LAB = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
LABORATORY = (Matching((("category", LAB),)),)
OF_ONE = (Inside("Patient", "mine"),)
STAFF: Wall = (Grant("Observation", "crus", LABORATORY), Grant("Patient", "rs"))
SEEING: Wall = (Grant("Observation", "cruds", OF_ONE), Grant("Patient", "rs"))
PATIENT: Wall = (Grant("Observation", "cruds", OF_ONE), Grant("Patient", "rs", OF_ONE))


def patient(id_: str, **more: Any) -> Json:
    return {"resourceType": "Patient", "id": id_, **more}


def observation(subject: str, category: str = "laboratory", **more: Any) -> Json:
    system = LAB.partition("|")[0]
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": system, "code": category}]}],
        "code": {"coding": [{"code": "x"}]},
        "subject": {"reference": f"Patient/{subject}"},
        **more,
    }


def named(id_: str) -> Json:
    return observation("mine", id=id_)


VITAL = observation("mine", "vital-signs")
OTHER = observation("other")


@pytest.fixture
async def held(client: httpx.AsyncClient) -> None:
    """Two patients with an observation each, and one that is of vital signs."""
    await put(client, patient("mine"), patient("other"))
    await put(client, observation("mine", id="b-mine"), observation("other", id="b-other"))
    await put(client, observation("mine", "vital-signs", id="b-vital"))


async def put(client: httpx.AsyncClient, *resources: Json) -> None:
    for one in resources:
        answer = await client.put(f"/{one['resourceType']}/{one['id']}", json=one)
        assert answer.status_code == 201, answer.text


async def stored(asking: Asking, client: httpx.AsyncClient) -> list[str]:
    """The observations that there are, with their versions and subjects."""
    asking.be_all()
    entries = (await client.get("/Observation?_sort=_id")).json().get("entry", ())
    return [
        f"{one['id']}/{one['meta']['versionId']} of {one['subject']['reference']}"
        for one in (entry["resource"] for entry in entries)
    ]


ALL = ["b-mine/1 of Patient/mine", "b-other/1 of Patient/other", "b-vital/1 of Patient/mine"]


REFUSED: dict[str, tuple[Wall, str, str, Json | None, int]] = {
    "no letter": (STAFF, "POST", "Patient", patient("x"), 403),
    "no letter to delete": (STAFF, "DELETE", "Observation/b-mine", None, 403),
    "create outside": (STAFF, "POST", "Observation", VITAL, 403),
    "update of what is outside": (STAFF, "PUT", "Observation/b-vital", named("b-vital"), 403),
    "update that leaves": (STAFF, "PUT", "Observation/b-mine", {**VITAL, "id": "b-mine"}, 403),
    "create for another patient": (PATIENT, "POST", "Observation", OTHER, 422),
    "create for another who is seen": (SEEING, "POST", "Observation", OTHER, 403),
    "move to another patient": (
        SEEING,
        "PUT",
        "Observation/b-mine",
        {**OTHER, "id": "b-mine"},
        403,
    ),
    "take from another": (PATIENT, "PUT", "Observation/b-other", named("b-other"), 403),
    "take by criteria": (PATIENT, "PUT", "Observation?_id=b-other", named("b-other"), 409),
    "delete what is hidden": (PATIENT, "DELETE", "Observation/b-other", None, 204),
    "delete by criteria": (PATIENT, "DELETE", "Observation?subject=Patient/other", None, 204),
}


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("case", REFUSED)
async def test_nothing_is_changed_beyond_the_rights(
    case: str, client: httpx.AsyncClient, asking: Asking
) -> None:
    wall, method, url, body, status = REFUSED[case]
    asking.be(wall)
    answer = await client.request(method, f"/{url}", json=body)
    assert answer.status_code == status, answer.text
    assert "b-other" not in answer.text
    assert await stored(asking, client) == ALL


@pytest.mark.usefixtures("held")
async def test_what_is_within_the_rights_is_written(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be(PATIENT)
    changed = observation("mine", id="b-mine", status="amended")
    answers = [
        await client.put("/Observation/b-mine", json=changed),
        await client.post("/Observation", json=observation("mine")),
        await client.delete("/Observation/b-vital"),
    ]
    assert [one.status_code for one in answers] == [200, 201, 204]


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("id_", ["b-other", "nothing"])
async def test_hidden_is_answered_as_what_never_was(
    id_: str, client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be(PATIENT)
    patch = [{"op": "replace", "path": "/status", "value": "amended"}]
    kind = {"content-type": "application/json-patch+json"}
    answers = [
        await client.get(f"/Observation/{id_}"),
        await client.get(f"/Observation/{id_}/_history/1"),
        await client.get(f"/Observation/{id_}/_history"),
        await client.patch(f"/Observation/{id_}", json=patch, headers=kind),
        await client.delete(f"/Observation/{id_}"),
        await client.get(f"/Observation/{id_}/$validate"),
    ]
    told = [(one.status_code, one.text) for one in answers]
    none = "There is no Observation with this id"
    assert [(status, _text(text)) for status, text in told] == [
        (404, none),
        (404, "There is no such version of this Observation"),
        (404, none),
        (404, "There is no such Observation"),
        (204, ""),
        (404, none),
    ]


def _text(body: str) -> str:
    return httpx.Response(200, text=body).json()["issue"][0]["details"]["text"] if body else ""


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("condition", [{}, {"If-None-Match": "*"}, {"If-Match": 'W/"1"'}])
async def test_update_tells_no_id_that_is_free_from_one_that_is_taken(
    client: httpx.AsyncClient, asking: Asking, condition: dict[str, str]
) -> None:
    asking.be(PATIENT)
    answers = [
        await client.put(f"/Observation/{id_}", json=observation("mine", id=id_), headers=condition)
        for id_ in ("b-other", "nothing")
    ]
    assert {(one.status_code, one.text) for one in answers} == {(403, answers[0].text)}
    assert await stored(asking, client) == ALL


async def test_who_is_limited_by_labels_alone_brings_resources_with_their_ids(
    asking: Asking, client: httpx.AsyncClient
) -> None:
    secret = {"security": [{"system": CONFIDENTIALITY, "code": "V"}]}
    await put(client, patient("mine"), observation("mine", id="secret", meta=secret))
    asking.be((Grant("Observation", "cruds", (Cleared("N"),)), Grant("Patient", "rs")))
    answer = await client.put("/Observation/own-1", json=named("own-1"))
    assert answer.status_code == 201, answer.text
    answer = await client.put("/Observation/secret", json=named("secret"))
    assert answer.status_code == 403
    assert await stored(asking, client) == [
        "own-1/1 of Patient/mine",
        "secret/1 of Patient/mine",
    ]


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("target", ["Observation/b-other", "Observation/nothing"])
async def test_a_reference_to_what_is_hidden_leads_nowhere(
    target: str, client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be(PATIENT)
    answer = await client.post(
        "/Observation", json=observation("mine", hasMember=[{"reference": target}])
    )
    assert answer.status_code == 422
    assert _text(answer.text) == "The referenced resource is not stored here"
    assert await stored(asking, client) == ALL


@pytest.mark.usefixtures("held")
async def test_who_changes_a_resource_may_leave_references_to_what_is_hidden(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    linked = observation("mine", id="b-linked", hasMember=[{"reference": "Observation/b-other"}])
    await put(client, linked)
    asking.be(PATIENT)
    answer = await client.put("/Observation/b-linked", json={**linked, "status": "amended"})
    assert answer.status_code == 200, answer.text


@pytest.mark.usefixtures("held")
async def test_a_refusal_to_delete_names_nothing_that_is_hidden(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    linked = [
        observation(whose, id=f"of-{whose}", hasMember=[{"reference": "Observation/b-mine"}])
        for whose in ("mine", "other")
    ]
    await put(client, *linked)
    asking.be(PATIENT)
    answer = await client.delete("/Observation/b-mine")
    assert answer.status_code == 409
    assert _text(answer.text) == "Other resources refer to it: Observation/of-mine"


@pytest.mark.usefixtures("held")
async def test_a_conditional_create_does_not_see_what_is_hidden(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be(PATIENT)
    criteria = {"if-none-exist": "_id=b-other,b-mine"}
    first = await client.post("/Observation", json=observation("mine"), headers=criteria)
    criteria = {"if-none-exist": "_id=b-other"}
    second = await client.post("/Observation", json=observation("mine"), headers=criteria)
    assert [first.status_code, second.status_code] == [200, 201]


@pytest.mark.usefixtures("held")
async def test_each_entry_of_a_bundle_is_looked_at(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be(PATIENT)
    entries = [
        {"request": {"method": "GET", "url": url}}
        for url in (
            "Observation/b-mine",
            "Observation/b-other",
            "Encounter/1",
            "Observation?code=x",
        )
    ]
    mine, other = observation("mine"), observation("other")
    entries += [
        {"request": {"method": "POST", "url": "Observation"}, "resource": one}
        for one in (mine, other)
    ]
    batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answer = (await client.post("/", json=batch)).json()
    statuses = [one["response"]["status"].split()[0] for one in answer["entry"]]
    assert statuses == ["200", "404", "403", "200", "201", "422"]
    assert "Patient/other" not in str(answer["entry"][3])
    together = await client.post("/", json={**batch, "type": "transaction", "entry": entries[-2:]})
    assert together.status_code == 422
    assert len(await stored(asking, client)) == len(ALL) + 1


@pytest.mark.usefixtures("held")
async def test_a_patch_shows_nothing_to_who_may_not_read(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be((Grant("Observation", "u"),))
    patch = [{"op": "test", "path": "/status", "value": "final"}]
    kind = {"content-type": "application/json-patch+json"}
    answer = await client.patch("/Observation/b-other", json=patch, headers=kind)
    assert (answer.status_code, answer.text) == (200, "")
