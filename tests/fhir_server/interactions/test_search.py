import random
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from fhir_server.config import Settings

Json = dict[str, Any]
UCUM = "http://unitsofmeasure.org"


async def put(client: httpx.AsyncClient, *resources: Json) -> None:
    entries = [
        {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
        for r in resources
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = await client.post("/", json=bundle)
    assert answer.status_code == 200, answer.text


async def get(client: httpx.AsyncClient, url: str, status: int = 200) -> Json:
    answer = await client.get(url)
    assert answer.status_code == status, answer.text
    found: Json = answer.json()
    return found


def ids(bundle: Json, mode: str = "match") -> list[str]:
    entries = bundle.get("entry", [])
    return [e["resource"]["id"] for e in entries if e["search"]["mode"] == mode]


def link(bundle: Json, relation: str) -> str | None:
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), None)


async def pages(client: httpx.AsyncClient, url: str) -> list[list[str]]:
    found = []
    following: str | None = url
    while following:
        bundle = await get(client, following)
        found.append(ids(bundle))
        following = link(bundle, "next")
    return found


def patient(id_: str, **more: Any) -> Json:
    return {"resourceType": "Patient", "id": id_, **more}


def observation(id_: str, **more: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"text": "x"},
        **more,
    }


async def test_a_searchset_holds_stored_resources_with_links_and_total(
    client: httpx.AsyncClient,
) -> None:
    await put(client, patient("a", gender="female"), patient("b", gender="male"))
    bundle = await get(client, "/Patient?gender=male")
    resource = (await client.get("/Patient/b")).json()
    assert bundle == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 1,
        "link": [
            {"relation": "self", "url": "http://testserver/fhir/Patient?gender=male"},
            {"relation": "first", "url": "http://testserver/fhir/Patient?gender=male"},
        ],
        "entry": [
            {
                "fullUrl": "http://testserver/fhir/Patient/b",
                "resource": resource,
                "search": {"mode": "match"},
            }
        ],
    }


async def test_decimals_come_back_as_they_were_sent(client: httpx.AsyncClient) -> None:
    text = (
        '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},'
        '"valueQuantity":{"value":1.400}}'
    )
    headers = {"Content-Type": "application/fhir+json"}
    await client.put("/Observation/o", content=text, headers=headers)
    answer = await client.get("/Observation?value-quantity=1.4")
    assert '"value":1.400}' in answer.text


async def test_nothing_found_is_an_empty_bundle(client: httpx.AsyncClient) -> None:
    bundle = await get(client, "/Patient?gender=male")
    assert bundle["total"] == 0
    assert "entry" not in bundle


async def test_a_deleted_resource_is_not_found_and_an_updated_one_by_its_present_values(
    client: httpx.AsyncClient,
) -> None:
    await put(client, patient("a", gender="female"), patient("b", gender="female"))
    await client.delete("/Patient/a")
    await put(client, patient("b", gender="male", birthDate="1970-01-01"))
    assert ids(await get(client, "/Patient?gender=female")) == []
    assert ids(await get(client, "/Patient?gender=male&birthdate=1970")) == ["b"]
    await put(client, patient("a", gender="female"))
    assert ids(await get(client, "/Patient?gender=female")) == ["a"]


async def test_post_search_merges_form_and_url(client: httpx.AsyncClient) -> None:
    await put(client, patient("a", gender="female"), patient("b", gender="female", active=True))
    answer = await client.post("/Patient/_search?gender=female", data={"active": "true"})
    assert ids(answer.json()) == ["b"]
    assert link(answer.json(), "self") == (
        "http://testserver/fhir/Patient?gender=female&active=true"
    )


VALUES: Sequence[tuple[str, Json]] = [
    ("o1", {"effectiveDateTime": "2020-03-01", "valueQuantity": {"value": 5}}),
    ("o2", {"effectiveDateTime": "2020-01-01", "valueQuantity": {"value": 70}}),
    ("o3", {"valueQuantity": {"value": 6}, "status": "amended"}),
    ("o4", {"effectiveDateTime": "2020-02-01", "status": "amended"}),
    ("o5", {"status": "preliminary"}),
    ("o6", {"effectiveDateTime": "2020-01-01", "valueQuantity": {"value": -1}}),
    ("o7", {"effectivePeriod": {"end": "2020-12-31"}}),
]
SORTS = {
    "date": "o7 o2 o6 o4 o1 o3 o5",
    "-date": "o1 o4 o6 o2 o7 o5 o3",
    "value-quantity": "o6 o1 o3 o2 o4 o5 o7",
    "-value-quantity": "o2 o3 o1 o6 o7 o5 o4",
    "status,-date": "o4 o3 o1 o2 o6 o7 o5",
    "-status,value-quantity,_id": "o5 o6 o1 o2 o7 o3 o4",
    "date,-value-quantity": "o7 o2 o6 o4 o1 o3 o5",
    "_id": "o1 o2 o3 o4 o5 o6 o7",
    "-_id": "o7 o6 o5 o4 o3 o2 o1",
    "-_lastUpdated,-_id": "o7 o6 o5 o4 o3 o2 o1",
    "": "o7 o6 o5 o4 o3 o2 o1",
}


@pytest.mark.parametrize("criteria", ["", "subject=Patient/p&"], ids=["many", "few"])
@pytest.mark.parametrize("count", [1, 2, 3, 100])
@pytest.mark.parametrize("sort", SORTS)
async def test_sort(sort: str, count: int, criteria: str, client: httpx.AsyncClient) -> None:
    await put(client, patient("p"))
    for name, more in VALUES:
        await put(client, observation(name, subject={"reference": "Patient/p"}, **more))
    text = f"{criteria}_sort={sort}&" if sort else criteria
    found = await pages(client, f"/Observation?{text}_count={count}")
    if sort == "-_lastUpdated,-_id":
        assert sorted(id_ for page in found for id_ in page) == sorted(name for name, _ in VALUES)
    else:
        assert [id_ for page in found for id_ in page] == SORTS[sort].split()
    assert all(len(page) == count for page in found[:-1])


async def test_of_several_values_the_least_or_the_greatest_sorts(
    client: httpx.AsyncClient,
) -> None:
    await put(
        client,
        patient("a", name=[{"family": "Chandra"}, {"family": "Ahuja"}]),
        patient("b", name=[{"family": "Bose"}]),
        patient("c", identifier=[{"value": "1"}, {"value": "9"}]),
        patient("d", identifier=[{"value": "5"}], name=[{"family": "bose"}]),
    )
    for sort, expected in {
        "family": "a b d c",
        "-family": "a d b c",
        "identifier": "c d a b",
        "-identifier": "c d b a",
    }.items():
        for count in (1, 10):
            found = await pages(client, f"/Patient?_sort={sort}&_count={count}")
            assert " ".join(id_ for page in found for id_ in page) == expected, sort


async def test_sort_by_the_parameter_that_is_searched(client: httpx.AsyncClient) -> None:
    for name, more in VALUES:
        await put(client, observation(name, **more))
    bundle = await get(client, "/Observation?date=ge2020-01-15&_sort=-date")
    assert ids(bundle) == ["o1", "o4", "o7"]


@pytest.mark.parametrize(
    "sort", ["", "birthdate", "-family", "gender,-birthdate,_id", "_lastUpdated"]
)
async def test_paging_while_others_write(sort: str, client: httpx.AsyncClient) -> None:
    chance = random.Random(7)
    stored = {}
    for number in range(40):
        more: Json = {"gender": chance.choice(["male", "female"])}
        if chance.random() < 0.8:
            more["birthDate"] = f"19{chance.randint(50, 99)}-01-01"
        if chance.random() < 0.8:
            more["name"] = [{"family": chance.choice("abcdef") * 3}]
        stored[f"p{number}"] = patient(f"p{number}", **more)
    await put(client, *stored.values())
    seen: list[str] = []
    changed: set[str] = set()
    following: str | None = f"/Patient?_count=3&_sort={sort}" if sort else "/Patient?_count=3"
    while following:
        bundle = await get(client, following)
        seen += ids(bundle)
        following = link(bundle, "next")
        victim = chance.choice(sorted(stored))
        changed.add(victim)
        moved = f"{chance.randint(1900, 2020)}-05-05"
        await put(client, {**stored[victim], "birthDate": moved, "name": [{"family": moved}]})
        await put(client, patient(f"new{len(changed)}-{len(seen)}", birthDate=moved))
    assert len(seen) == len(set(seen))
    assert set(stored) - changed <= set(seen)
    assert not [id_ for id_ in seen if id_.startswith("new")]
    if not sort:
        assert set(seen) == set(stored)


async def test_includes_are_added_once_and_not_counted(client: httpx.AsyncClient) -> None:
    subject = {"subject": {"reference": "Patient/a"}}
    await put(
        client,
        {"resourceType": "Organization", "id": "org", "name": "x"},
        patient("a", managingOrganization={"reference": "Organization/org"}),
        patient("b"),
        observation("o1", **subject),
        observation("o2", **subject, performer=[{"reference": "Patient/b"}]),
    )
    bundle = await get(
        client, "/Observation?_include=Observation:subject&_include=Observation:patient"
    )
    assert (bundle["total"], ids(bundle), ids(bundle, "include")) == (2, ["o2", "o1"], ["a"])
    bundle = await get(client, "/Observation?_include=Observation:performer:Practitioner")
    assert ids(bundle, "include") == []
    bundle = await get(client, "/Observation?_include=*")
    assert sorted(ids(bundle, "include")) == ["a", "b"]
    bundle = await get(client, "/Observation?_include=Observation:*")
    assert sorted(ids(bundle, "include")) == ["a", "b"]
    text = "_include=Observation:subject&_include:iterate=Patient:organization"
    bundle = await get(client, f"/Observation?{text}")
    assert sorted(ids(bundle, "include")) == ["a", "org"]
    bundle = await get(
        client, "/Observation?_include=Observation:subject&_include=Patient:organization"
    )
    assert sorted(ids(bundle, "include")) == ["a"]
    bundle = await get(client, "/Patient?_id=a&_revinclude=Observation:subject")
    assert (ids(bundle), ids(bundle, "include")) == (["a"], ["o1", "o2"])
    bundle = await get(client, "/Observation?_count=1&_include=Observation:performer")
    assert (ids(bundle), ids(bundle, "include")) == (["o2"], ["b"])
    bundle = await get(client, f"{link(bundle, 'next')}")
    assert (ids(bundle), ids(bundle, "include")) == (["o1"], [])


async def test_a_cycle_of_iterated_includes_ends(client: httpx.AsyncClient) -> None:
    def linked(id_: str, other: str) -> Json:
        return patient(id_, link=[{"other": {"reference": f"Patient/{other}"}, "type": "seealso"}])

    await put(client, linked("a", "b"), linked("b", "c"), linked("c", "a"))
    bundle = await get(client, "/Patient?_id=a&_include:iterate=Patient:link")
    assert (ids(bundle), ids(bundle, "include")) == (["a"], ["b", "c"])


async def test_a_deleted_target_is_not_included_and_a_versioned_one_comes_as_that_version(
    client: httpx.AsyncClient,
) -> None:
    await put(client, patient("a", gender="male"))
    await put(client, patient("a", gender="female"))
    await put(client, observation("o", subject={"reference": "Patient/a/_history/1"}))
    bundle = await get(client, "/Observation?_include=Observation:subject")
    (included,) = (e["resource"] for e in bundle["entry"] if e["search"]["mode"] == "include")
    assert (included["meta"]["versionId"], included["gender"]) == ("1", "male")


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    changed = getattr(request, "param", {})
    search = settings.search.model_copy(update=changed)
    return settings.model_copy(update={"search": search})


@pytest.mark.parametrize("settings", [{"max_includes": 2}], indirect=True)
async def test_includes_beyond_the_cap_are_said_to_be_left_out(client: httpx.AsyncClient) -> None:
    await put(
        client,
        patient("a"),
        *(observation(f"o{n}", subject={"reference": "Patient/a"}) for n in range(3)),
    )
    bundle = await get(client, "/Patient?_revinclude=Observation:subject")
    assert ids(bundle, "include") == ["o0", "o1"]
    (outcome,) = (e["resource"] for e in bundle["entry"] if e["search"]["mode"] == "outcome")
    assert outcome["issue"][0]["code"] == "incomplete"


@pytest.mark.parametrize("settings", [{"total_cap": 3}], indirect=True)
async def test_total(client: httpx.AsyncClient) -> None:
    await put(client, *(patient(f"p{n}", active=n < 3) for n in range(5)))
    assert (await get(client, "/Patient"))["total"] == 5
    assert (await get(client, "/Patient?active=true&_count=1"))["total"] == 3
    assert "total" not in await get(client, "/Patient?_count=1")
    assert (await get(client, "/Patient?_count=1&_total=accurate"))["total"] == 5
    assert "total" not in await get(client, "/Patient?_total=none")
    assert (await get(client, "/Patient?_summary=count"))["total"] == 5
    counted = await get(client, "/Patient?_count=0&active=true")
    assert (counted["total"], "entry" in counted) == (3, False)
    assert isinstance((await get(client, "/Patient?_count=1&_total=estimate"))["total"], int)
    second = await get(
        client, f"{link(await get(client, '/Patient?active=true&_count=1'), 'next')}"
    )
    assert second["total"] == 3


async def test_a_bare_id_in_several_types_is_asked_back(client: httpx.AsyncClient) -> None:
    await put(
        client,
        patient("x"),
        {"resourceType": "Device", "id": "x"},
        {"resourceType": "Device", "id": "y"},
        observation("o1", subject={"reference": "Patient/x"}),
        observation("o2", subject={"reference": "Device/y"}),
    )
    refused = await get(client, "/Observation?subject=x", 400)
    assert refused["issue"][0]["expression"] == ["subject"]
    assert ids(await get(client, "/Observation?subject=Patient/x")) == ["o1"]
    assert ids(await get(client, "/Observation?subject=y")) == ["o2"]
    assert ids(await get(client, "/Observation?subject=nobody")) == []


async def test_lenient_handling_warns_and_leaves_it_out_of_the_self_link(
    client: httpx.AsyncClient,
) -> None:
    await put(client, patient("a"))
    await get(client, "/Patient?colour=red", 400)
    answer = await client.get(
        "/Patient?colour=red&_count=5", headers={"Prefer": "handling=lenient"}
    )
    bundle = answer.json()
    assert link(bundle, "self") == "http://testserver/fhir/Patient?_count=5"
    assert ids(bundle) == ["a"]
    (outcome,) = (e["resource"] for e in bundle["entry"] if e["search"]["mode"] == "outcome")
    assert outcome["issue"][0]["severity"] == "warning"
    assert outcome["issue"][0]["expression"] == ["colour"]


async def test_a_page_link_takes_nothing_beside_it_and_no_forgery(
    client: httpx.AsyncClient,
) -> None:
    await put(client, patient("a"), patient("b"))
    following = link(await get(client, "/Patient?_count=1"), "next")
    assert following is not None
    await get(client, f"{following}&gender=male", 400)
    await get(client, f"{following[:-12]}AAAAAAAAAAAA", 400)
    await get(client, following.replace("/Patient?", "/Observation?"), 400)
    assert ids(await get(client, following)) == ["a"]


async def test_quotes_and_semicolons_are_only_values(client: httpx.AsyncClient) -> None:
    await put(client, patient("a", name=[{"family": "O'Neill; drop table body --"}]))
    for value in ("o'neill; drop table body --", "$1", "%(p0)s", "a' or '1'='1"):
        url = httpx.URL("/Patient", params={"name": value})
        found = ids(await get(client, str(url)))
        assert found == (["a"] if value.startswith("o'") else [])


async def test_parts_of_resources_are_tagged_and_includes_keep_their_elements(
    client: httpx.AsyncClient,
) -> None:
    narrative = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
    await put(
        client,
        {"resourceType": "Organization", "id": "org", "name": "x"},
        patient(
            "a",
            text=narrative,
            gender="male",
            birthDate="1970-01-01",
            managingOrganization={"reference": "Organization/org"},
        ),
    )

    def shown(bundle: Json) -> list[list[str]]:
        return [sorted(e["resource"]) for e in bundle["entry"]]

    bundle = await get(client, "/Patient?_elements=gender&_include=Patient:organization")
    assert shown(bundle) == [
        ["gender", "id", "meta", "resourceType"],
        ["id", "meta", "name", "resourceType"],
    ]
    assert bundle["entry"][0]["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert "tag" not in bundle["entry"][1]["resource"]["meta"]
    assert shown(await get(client, "/Patient?_summary=text")) == [
        ["id", "meta", "resourceType", "text"]
    ]
    assert "text" not in shown(await get(client, "/Patient?_summary=data"))[0]
    assert "text" in shown(await get(client, "/Patient?_summary=false"))[0]
    await get(client, "/Patient?_elements=colour", 400)


async def test_what_each_resource_has_is_never_missing(client: httpx.AsyncClient) -> None:
    await put(client, patient("a"))
    for name in ("_id", "_lastUpdated"):
        assert ids(await get(client, f"/Patient?{name}:missing=false")) == ["a"]
        assert ids(await get(client, f"/Patient?{name}:missing=true")) == []


async def test_last_updated(client: httpx.AsyncClient) -> None:
    await put(client, patient("a"))
    at = (await client.get("/Patient/a")).json()["meta"]["lastUpdated"]
    day = at[:10]
    for value, expected in {
        f"eq{day}": ["a"],
        f"ge{at}": ["a"],
        f"le{at}": ["a"],
        f"gt{at}": [],
        f"lt{at}": [],
        "sa2999": [],
        "eb9999": ["a"],
        f"ne{day}": [],
    }.items():
        assert ids(await get(client, f"/Patient?_lastUpdated={value}")) == expected, value
