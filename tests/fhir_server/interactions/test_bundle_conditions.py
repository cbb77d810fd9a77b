"""Conditions of the entries of a Bundle, and patches among them."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from fhir_server.config import Limits, Settings, WriteSettings
from fhir_server.interactions import match

from .asking import (
    Json,
    bundle,
    count,
    entry,
    identified,
    observation,
    patient,
    places,
    put,
    refusal,
    send,
    statuses,
    stored,
)

MINE = "identifier=urn:s|1"
CRITERIA = f"Patient?{MINE}"
JSON_PATCH = "application/json-patch+json"


def json_patch(*operations: Json, content_type: str = JSON_PATCH) -> Json:
    data = b64encode(msgspec.json.encode(operations)).decode()
    return {"resourceType": "Binary", "contentType": content_type, "data": data}


def fhirpath_patch(path: str, name: str, **value: Any) -> Json:
    part = [
        {"name": "type", "valueCode": "add"},
        {"name": "path", "valueString": path},
        {"name": "name", "valueString": name},
        {"name": "value", **value},
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}


ACTIVATE = json_patch({"op": "add", "path": "/active", "value": True})
PRESENT = identified("1", id="p")

# Entry on a server that has Patient/p, version 1, identifier 1, and Patient/gone, deleted.
CONDITIONS: dict[str, tuple[Json, str]] = {
    "ifMatch met, put": (entry("PUT", "Patient/p", patient(id="p"), ifMatch='W/"1"'), "200"),
    "ifMatch strong, put": (entry("PUT", "Patient/p", patient(id="p"), ifMatch='"1"'), "200"),
    "ifMatch missed, put": (entry("PUT", "Patient/p", patient(id="p"), ifMatch='W/"2"'), "412"),
    "ifMatch absent, put": (entry("PUT", "Patient/q", patient(id="q"), ifMatch='W/"1"'), "412"),
    "ifMatch deleted, put": (
        entry("PUT", "Patient/gone", patient(id="gone"), ifMatch='W/"2"'),
        "412",
    ),
    "ifMatch nonsense, put": (entry("PUT", "Patient/p", patient(id="p"), ifMatch="1"), "400"),
    "ifMatch met, delete": (entry("DELETE", "Patient/p", ifMatch='W/"1"'), "204"),
    "ifMatch missed, delete": (entry("DELETE", "Patient/p", ifMatch='W/"2"'), "412"),
    "ifMatch absent, delete": (entry("DELETE", "Patient/q", ifMatch='W/"1"'), "412"),
    "ifMatch met, patch": (entry("PATCH", "Patient/p", ACTIVATE, ifMatch='W/"1"'), "200"),
    "ifMatch missed, patch": (entry("PATCH", "Patient/p", ACTIVATE, ifMatch='W/"2"'), "412"),
    "ifNoneMatch * exists": (entry("PUT", "Patient/p", PRESENT, ifNoneMatch="*"), "412"),
    "ifNoneMatch * absent": (entry("PUT", "Patient/q", patient(id="q"), ifNoneMatch="*"), "201"),
    "ifNoneMatch * deleted": (
        entry("PUT", "Patient/gone", patient(id="gone"), ifNoneMatch="*"),
        "201",
    ),
    "ifNoneExist found": (entry("POST", "Patient", PRESENT, ifNoneExist=MINE), "200"),
    "ifNoneExist with mark": (entry("POST", "Patient", PRESENT, ifNoneExist=f"?{MINE}"), "200"),
    "ifNoneExist not found": (entry("POST", "Patient", PRESENT, ifNoneExist=f"{MINE}2"), "201"),
    "ifNoneExist empty": (entry("POST", "Patient", PRESENT, ifNoneExist=""), "400"),
    "ifNoneExist without value": (
        entry("POST", "Patient", PRESENT, ifNoneExist="identifier="),
        "400",
    ),
    "ifNoneExist control": (
        entry("POST", "Patient", PRESENT, ifNoneExist=f"{MINE}&_count=1"),
        "400",
    ),
    "ifNoneExist unknown": (entry("POST", "Patient", PRESENT, ifNoneExist="x=y"), "400"),
    "conditional put found": (entry("PUT", CRITERIA, identified("1", active=True)), "200"),
    "conditional put found, other id": (entry("PUT", CRITERIA, identified("1", id="x")), "400"),
    "conditional put not found": (entry("PUT", f"{CRITERIA}2", identified("12")), "201"),
    "conditional put not found, id free": (
        entry("PUT", f"{CRITERIA}2", identified("12", id="new")),
        "201",
    ),
    "conditional put not found, id in use": (
        entry("PUT", f"{CRITERIA}2", identified("12", id="p")),
        "409",
    ),
    "conditional patch found": (entry("PATCH", CRITERIA, ACTIVATE), "200"),
    "conditional patch not found": (entry("PATCH", f"{CRITERIA}2", ACTIVATE), "404"),
    "conditional delete found": (entry("DELETE", CRITERIA), "204"),
    "conditional delete not found": (entry("DELETE", f"{CRITERIA}2"), "204"),
    "delete of nothing": (entry("DELETE", "Patient/nobody"), "204"),
    "delete of what is deleted": (entry("DELETE", "Patient/gone"), "204"),
    "patch of nothing": (entry("PATCH", "Patient/nobody", ACTIVATE), "404"),
    "patch of what is deleted": (entry("PATCH", "Patient/gone", ACTIVATE), "410"),
    "put that changes nothing": (entry("PUT", "Patient/p", PRESENT), "200"),
    "put of another id": (entry("PUT", "Patient/p", patient(id="q")), "400"),
    "put without id": (entry("PUT", "Patient/p", patient()), "400"),
    "put with id and criteria": (entry("PUT", f"Patient/p?{MINE}", PRESENT), "400"),
    "json patch": (entry("PATCH", "Patient/p", ACTIVATE), "200"),
    "json patch, test fails": (
        entry("PATCH", "Patient/p", json_patch({"op": "test", "path": "/id", "value": "x"})),
        "422",
    ),
    "json patch, no such path": (
        entry("PATCH", "Patient/p", json_patch({"op": "remove", "path": "/name"})),
        "400",
    ),
    "json patch, other id": (
        entry("PATCH", "Patient/p", json_patch({"op": "replace", "path": "/id", "value": "x"})),
        "422",
    ),
    "json patch, result invalid": (
        entry("PATCH", "Patient/p", json_patch({"op": "add", "path": "/gender", "value": 7})),
        "422",
    ),
    "json patch, other content type": (
        entry("PATCH", "Patient/p", json_patch(content_type="text/plain")),
        "415",
    ),
    "fhirpath patch": (
        entry("PATCH", "Patient/p", fhirpath_patch("Patient", "gender", valueCode="female")),
        "200",
    ),
    "fhirpath patch, no such path": (
        entry("PATCH", "Patient/p", fhirpath_patch("Patient.name", "family", valueString="x")),
        "400",
    ),
    "patch by a resource": (entry("PATCH", "Patient/p", PRESENT), "400"),
    "patch without any": (entry("PATCH", "Patient/p"), "400"),
    "never stored": (entry("POST", "Parameters", {"resourceType": "Parameters"}), "405"),
    "of another type": (entry("POST", "Observation", patient()), "400"),
    "unknown type": (entry("POST", "Nonsense", patient()), "404"),
    "leading slash": (entry("PUT", "/Patient/p", PRESENT), "200"),
    "absolute": (entry("PUT", "http://testserver/fhir/Patient/p", PRESENT), "200"),
    "other host": (entry("PUT", "http://elsewhere.org/fhir/Patient/p", PRESENT), "400"),
    "other host without scheme": (entry("PUT", "//elsewhere.org/Patient/p", PRESENT), "400"),
    "lower case": (entry("put", "Patient/p", PRESENT), "400"),
}


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize(("given", "status"), CONDITIONS.values(), ids=CONDITIONS)
async def test_entry_is_answered(
    client: httpx.AsyncClient, kind: str, given: Json, status: str
) -> None:
    await put(client, PRESENT)
    await put(client, patient(id="gone"))
    await client.delete("/Patient/gone")
    response = await send(client, kind, given)
    if kind == "batch" or status < "300":
        assert (response.status_code, statuses(response)) == (200, [status])
    else:
        assert str(response.status_code) == status
        assert refusal(response)[2].startswith("Bundle.entry[0]")


async def test_patches_change_what_they_name(client: httpx.AsyncClient) -> None:
    await put(client, identified("1", id="p"))
    await put(client, identified("2", id="q"))
    response = await send(
        client,
        "transaction",
        entry("PATCH", "Patient/p", ACTIVATE),
        entry(
            "PATCH", "Patient?identifier=2", fhirpath_patch("Patient", "gender", valueCode="other")
        ),
    )
    assert statuses(response) == ["200", "200"]
    found = [await stored(client, place) for place in places(response)]
    assert [(one["meta"]["versionId"], one.get("active"), one.get("gender")) for one in found] == [
        ("2", True, None),
        ("2", None, "other"),
    ]


async def test_patch_may_refer_to_what_the_transaction_creates(client: httpx.AsyncClient) -> None:
    urn = "urn:uuid:22222222-6a3e-4c58-9a55-2f9b1c0d1e2f"
    await put(client, PRESENT)
    value = {"reference": urn}
    response = await send(
        client,
        "transaction",
        entry(
            "PATCH",
            "Patient/p",
            fhirpath_patch("Patient", "managingOrganization", valueReference=value),
        ),
        entry("POST", "Organization", {"resourceType": "Organization", "name": "x"}, fullUrl=urn),
    )
    assert statuses(response) == ["200", "201"]
    found = await stored(client, "Patient/p")
    assert found["managingOrganization"] == {"reference": places(response)[1]}


async def test_batch_is_carried_out_in_order(client: httpx.AsyncClient) -> None:
    response = await send(
        client,
        "batch",
        entry("GET", "Patient/p"),
        entry("PUT", "Patient/p", PRESENT),
        entry("PATCH", "Patient/p", ACTIVATE),
        entry("GET", CRITERIA),
        entry("DELETE", CRITERIA),
        entry("GET", "Patient/p"),
        entry("POST", "Patient", PRESENT, ifNoneExist=MINE),
    )
    assert statuses(response) == ["404", "201", "200", "200", "204", "410", "201"]


async def test_conditional_delete_of_several_is_412(client: httpx.AsyncClient) -> None:
    for name in ("a", "b"):
        await put(client, identified("1", id=name))
    response = await send(client, "transaction", entry("DELETE", CRITERIA))
    assert refusal(response) == (412, "multiple-matches", "Bundle.entry[0]")


class TestDeletingSeveral:
    """The setting `write.conditional_delete=multiple`."""

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(
            demo=True,
            data_dir=tmp_path / "data",
            write=WriteSettings(conditional_delete="multiple"),
            limits=Limits(conditional_deletes=3),
        )

    @pytest.mark.parametrize("kind", ["batch", "transaction"])
    async def test_all_matches_are_deleted(self, client: httpx.AsyncClient, kind: str) -> None:
        for name in ("a", "b", "c"):
            await put(client, identified("1", id=name))
        await put(client, identified("2", id="d"))
        response = await send(client, kind, entry("DELETE", CRITERIA), entry("GET", CRITERIA))
        assert statuses(response) == ["204", "200"]
        found = [(await client.get(f"/Patient/{name}")).status_code for name in "abcd"]
        assert found == [410, 410, 410, 200]

    async def test_they_may_refer_to_one_another(self, client: httpx.AsyncClient) -> None:
        links = [{"other": {"reference": "Patient/a"}, "type": "seealso"}]
        await put(client, identified("1", id="a"))
        await put(client, identified("1", id="b", link=links))
        response = await send(client, "transaction", entry("DELETE", CRITERIA))
        assert statuses(response) == ["204"]

    async def test_one_that_others_refer_to_keeps_all(self, client: httpx.AsyncClient) -> None:
        await put(client, identified("1", id="a"))
        await put(client, identified("1", id="b"))
        await put(client, observation("Patient/b", id="o"))
        response = await send(client, "transaction", entry("DELETE", CRITERIA))
        assert refusal(response) == (409, "conflict", "Bundle.entry[0]")
        assert await count(client, "Patient") == 2

    async def test_another_entry_on_one_of_them_is_400(self, client: httpx.AsyncClient) -> None:
        for name in ("a", "b"):
            await put(client, identified("1", id=name))
        change = entry("PUT", "Patient/b", identified("1", id="b", active=True))
        response = await send(client, "transaction", entry("DELETE", CRITERIA), change)
        assert refusal(response)[:2] == (400, "invalid")

    async def test_if_match_is_for_one(self, client: httpx.AsyncClient) -> None:
        for name in ("a", "b"):
            await put(client, identified("1", id=name))
        response = await send(client, "transaction", entry("DELETE", CRITERIA, ifMatch='W/"1"'))
        assert refusal(response)[:2] == (412, "multiple-matches")

    async def test_more_than_the_limit_is_403(self, client: httpx.AsyncClient) -> None:
        for name in ("a", "b", "c", "d"):
            await put(client, identified("1", id=name))
        response = await send(client, "transaction", entry("DELETE", CRITERIA))
        assert refusal(response) == (403, "too-costly", "Bundle.entry[0]")


class TestLimits:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        limits = Limits(bundle_entries=3, bundle_index_rows=60)
        return Settings(demo=True, data_dir=tmp_path / "data", limits=limits)

    @pytest.mark.parametrize(("entries", "status"), [(3, 200), (4, 413)])
    async def test_entries(self, client: httpx.AsyncClient, entries: int, status: int) -> None:
        response = await send(client, "batch", *[entry("GET", "Patient/p")] * entries)
        assert response.status_code == status

    async def test_index_rows(self, client: httpx.AsyncClient) -> None:
        names = [{"given": [f"a{number}"], "family": f"b{number}"} for number in range(20)]
        response = await send(client, "transaction", entry("POST", "Patient", patient(name=names)))
        assert refusal(response)[:2] == (413, "too-long")
        assert await count(client, "Patient") == 0


@pytest.mark.parametrize(("entries", "status"), [(5_000, 200), (5_001, 413)])
async def test_five_thousand_entries_are_taken_unless_the_settings_say_otherwise(
    client: httpx.AsyncClient, entries: int, status: int
) -> None:
    basic = {"resourceType": "Basic", "code": {"text": "x"}}
    response = await send(client, "transaction", *[entry("POST", "Basic", basic)] * entries)
    assert response.status_code == status
    assert await count(client, "Basic") == (entries if status == 200 else 0)


# The keys of locks, and which criteria are the same.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("identifier=a&name=b", "name=b&identifier=a"),
        ("identifier=s|a,s|b", "identifier=s|b,s|a"),
        ("identifier=s|a,s|a", "identifier=s|a"),
        ("identifier=a&identifier=a", "identifier=a"),
        ("name=a%20b", "name=a+b"),
    ],
)
def test_criteria_are_the_same(one: str, other: str) -> None:
    assert match.criteria("Patient", one) == match.criteria("Patient", other)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("identifier=s|a", "identifier=s|a&active=true", True),
        ("identifier=s|a", "identifier=a", True),
        ("identifier=s|a", "identifier=|a", True),
        ("identifier=s|a", "identifier=s|A", True),
        ("identifier=s|a", "identifier=s|b,s|a", True),
        (r"identifier=s|a\,b", "identifier=s|a,s|b", False),
        ("identifier=s|a", "identifier=s|b", False),
        ("name=a", "name=b", False),
        ("name=a", "name=a&active=true", False),
    ],
)
def test_criteria_share_a_lock(one: str, other: str, shared: bool) -> None:  # noqa: FBT001
    keys = set(match.criteria("Patient", one).lock_keys())
    assert (not keys.isdisjoint(match.criteria("Patient", other).lock_keys())) == shared
    assert keys.isdisjoint(match.criteria("Group", one).lock_keys())


@pytest.mark.parametrize("kind", ["document", "collection", "searchset", "history", "message"])
async def test_other_types_of_bundle_are_400(client: httpx.AsyncClient, kind: str) -> None:
    response = await client.post(
        "",
        content=bundle(kind, entry("GET", "Patient/p")),
        headers={"content-type": "application/fhir+json"},
    )
    assert refusal(response) == (400, "value", "Bundle.type")
