"""References to a version: what finds them, and what a chain says of them."""

import httpx
import pytest

from .searching import Json, get, ids, issues, observation, patient, put, ref


@pytest.fixture
async def filled(client: httpx.AsyncClient) -> httpx.AsyncClient:
    await put(client, patient("1", name=[{"family": "Old"}]))
    await put(client, patient("1", name=[{"family": "New"}]))
    await put(client, patient("2", name=[{"family": "New"}]))
    encounter = {"status": "planned", "class": {"code": "AMB"}}
    await put(
        client,
        observation("past", "Patient/1/_history/1"),
        observation("present", "Patient/1/_history/2"),
        observation("plain", "Patient/1"),
        observation("other", "Patient/2"),
        {
            "resourceType": "Encounter",
            "id": "e",
            "subject": ref("Patient/1/_history/1"),
            **encounter,
        },
        observation("two-steps", "Patient/2", encounter=ref("Encounter/e")),
    )
    return client


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("subject=Patient/1", "past plain present"),
        ("subject=1", "past plain present"),
        ("subject=Patient/1/_history/1", "past"),
        ("subject=Patient/1/_history/2", "present"),
        ("subject=Patient/1/_history/3", ""),
        ("subject=Patient/2/_history/1", ""),
        ("subject=http://testserver/fhir/Patient/1/_history/1", "past"),
    ],
)
async def test_a_version_asked_for_is_that_version(
    asked: str, expected: str, filled: httpx.AsyncClient
) -> None:
    bundle = await get(filled, f"/Observation?{asked}")
    assert (ids(bundle), issues(bundle)) == (expected, [])


WARNING: Json = {
    "severity": "warning",
    "code": "informational",
    "details": {"text": "References to a version were followed to the present version"},
}


@pytest.mark.parametrize(
    ("asked", "expected", "warns"),
    [
        ("Observation?subject.name=new", "other past plain present two-steps", 1),
        ("Observation?subject.name=old", "", 0),
        ("Observation?subject.name=new&_id=past", "past", 1),
        ("Observation?subject.name=new&_id=present,plain,other", "other plain present", 0),
        ("Observation?encounter.subject.name=new", "two-steps", 1),
        ("Observation?encounter.status=planned", "two-steps", 0),
        ("Observation?_filter=not(subject.name eq old)&_id=past", "past", 1),
        ("Patient?_has:Observation:subject:_id=past", "1", 1),
        ("Patient?_has:Observation:subject:_id=other", "2", 0),
        ("Encounter?_has:Observation:encounter:subject.name=new", "e", 0),
        ("Observation?subject=Patient/1", "past plain present", 0),
    ],
)
async def test_a_chain_follows_it_to_what_is_current_and_warns(
    asked: str,
    expected: str,
    warns: int,
    filled: httpx.AsyncClient,
) -> None:
    bundle = await get(filled, f"/{asked}")
    assert (ids(bundle), issues(bundle)) == (expected, [WARNING] * warns)
