"""Searches by meaning, against the codings in use and the terminology that is stored.

https://hl7.org/fhir/R4/search.html#token
"""

from typing import Any

import httpx
import pytest

from fhir_server.search import terminology

from .searching import Json, get, ids, observation, put

ANIMALS = "http://example.org/animals"
PLANTS = "http://example.org/plants"
LOCAL = "http://example.org/local"


def code_system(id_: str, url: str, *concepts: Json, **more: Any) -> Json:
    system = {"resourceType": "CodeSystem", "id": id_, "url": url, "status": "active"}
    return {**system, "content": "complete", "caseSensitive": True, "concept": concepts, **more}


def concept(code: str, *inner: Json) -> Json:
    return {"code": code, **({"concept": list(inner)} if inner else {})}


def value_set(id_: str, *includes: Json, **more: Any) -> Json:
    url = f"http://example.org/vs/{id_}"
    composed = {"compose": {"include": list(includes), **more}}
    return {"resourceType": "ValueSet", "id": id_, "url": url, "status": "active", **composed}


TREE = code_system(
    "animals",
    ANIMALS,
    concept("animal", concept("cat", concept("lion"), concept("tiger")), concept("dog")),
    concept("unused"),
)
VALUE_SETS = [
    value_set(
        "cats",
        {"system": ANIMALS, "filter": [{"property": "concept", "op": "is-a", "value": "cat"}]},
    ),
    value_set("listed", {"system": ANIMALS, "concept": [{"code": "dog"}, {"code": "unused"}]}),
    value_set("whole", {"system": ANIMALS}),
    value_set(
        "both",
        {"system": ANIMALS, "concept": [{"code": "dog"}]},
        {"valueSet": ["http://example.org/vs/cats"]},
    ),
    value_set("but", {"system": ANIMALS}, exclude=[{"valueSet": ["http://example.org/vs/cats"]}]),
    value_set("unknown-listed", {"system": PLANTS, "concept": [{"code": "rose"}]}),
    value_set("unknown-whole", {"system": PLANTS}),
    value_set(
        "unknown-filter",
        {"system": PLANTS, "filter": [{"property": "concept", "op": "is-a", "value": "rose"}]},
    ),
    value_set("unpublished", {"system": ANIMALS, "version": "9", "concept": [{"code": "dog"}]}),
    value_set("itself", {"valueSet": ["http://example.org/vs/itself"]}),
    value_set(
        "done",
        {
            "system": "http://hl7.org/fhir/observation-status",
            "concept": [{"code": "final"}, {"code": "amended"}],
        },
    ),
]


def seen(id_: str, *codings: tuple[str, str], **more: Any) -> Json:
    coding = [{"system": system, "code": code} for system, code in codings]
    coded = {"text": "x", **({"coding": coding} if coding else {})}
    return {**observation(id_, "Patient/p"), "code": coded, **more}


SEEN = [
    seen("lion", (ANIMALS, "lion")),
    seen("tiger", (LOCAL, "t"), (ANIMALS, "tiger")),
    seen("dog", (ANIMALS, "dog"), status="amended"),
    seen("animal", (ANIMALS, "animal"), status="preliminary"),
    seen("wrong", (LOCAL, "lion")),
    seen("rose", (PLANTS, "rose")),
    seen("text"),
    {**seen("bare"), "code": {"coding": [{"code": "lion"}]}},
]


@pytest.fixture
async def filled(client: httpx.AsyncClient) -> httpx.AsyncClient:
    patient = {"resourceType": "Patient", "id": "p", "name": [{"family": "Rao"}]}
    await put(client, TREE, *VALUE_SETS, patient, *SEEN)
    return client


VS = "http://example.org/vs"


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (f"code:in={VS}/cats", "lion tiger"),
        (f"code:in={VS}/listed", "dog"),
        (f"code:in={VS}/whole", "animal dog lion tiger"),
        (f"code:in={VS}/both", "dog lion tiger"),
        (f"code:in={VS}/but", "animal dog"),
        (f"code:in={VS}/listed,{VS}/cats", "dog lion tiger"),
        (f"code:in={VS}/cats&code:not-in={VS}/cats", ""),
        ("code:in=ValueSet/cats", "lion tiger"),
        (f"code:in={VS}/unknown-listed", "rose"),
        (f"code:in={VS}/unknown-whole", "rose"),
        (f"code:not-in={VS}/cats", "animal bare dog rose text wrong"),
        (f"code:below={ANIMALS}|cat", "lion tiger"),
        (f"code:below={ANIMALS}|animal", "animal dog lion tiger"),
        (f"code:below={ANIMALS}|lion", "lion"),
        (f"code:below={ANIMALS}|unused", ""),
        (f"code:below={ANIMALS}|dog,{ANIMALS}|cat", "dog lion tiger"),
        (f"code:above={ANIMALS}|lion", "animal lion"),
        (f"code:above={ANIMALS}|animal", "animal"),
        (f"combo-code:below={ANIMALS}|cat", "lion tiger"),
        (f"status:in={VS}/done", "bare dog lion rose text tiger wrong"),
        (f"status:not-in={VS}/done", "animal"),
        ("status:below=http://hl7.org/fhir/observation-status|amended", "dog"),
        (f"_filter=code in {VS}/cats or code eq {LOCAL}|lion", "lion tiger wrong"),
        (f"patient.name=rao&code:in={VS}/cats", "lion tiger"),
    ],
)
async def test_the_codings_meant_are_found_and_no_others(
    asked: str, found: str, filled: httpx.AsyncClient
) -> None:
    bundle = await get(filled, f"/Observation?{asked}")
    assert ids(bundle) == found
    assert bundle["total"] == len(found.split())


async def test_a_chain_asks_too(filled: httpx.AsyncClient) -> None:
    assert ids(await get(filled, f"/Patient?_has:Observation:patient:code:in={VS}/cats")) == "p"
    assert (
        ids(await get(filled, f"/Patient?_has:Observation:patient:code:below={ANIMALS}|unused"))
        == ""
    )


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (f"code:in={VS}/nowhere", "not-found"),
        ("code:in=ValueSet/nowhere", "not-found"),
        (f"code:not-in={VS}/nowhere", "not-found"),
        (f"code:in={VS}/unpublished", "not-found"),
        (f"code:in={VS}/unknown-filter", "invalid"),
        (f"code:in={VS}/itself", "processing"),
        (f"code:below={ANIMALS}|secret", "not-found"),
        ("code:below=http://example.org/secret|1", "not-found"),
        ("status:in=urn:nowhere", "not-found"),
    ],
)
async def test_what_cannot_be_told_is_refused_and_never_no_match(
    asked: str, code: str, filled: httpx.AsyncClient
) -> None:
    outcome = await get(filled, f"/Observation?{asked}", 400)
    (issue,) = outcome["issue"]
    name = asked.partition("=")[0]
    assert (issue["code"], issue["expression"]) == (code, [name])
    assert "secret" not in issue["details"]["text"]


async def test_it_is_refused_too_where_nothing_is_stored(client: httpx.AsyncClient) -> None:
    await get(client, f"/Observation?code:in={VS}/cats", 400)


async def test_what_changes_counts_at_once(filled: httpx.AsyncClient) -> None:
    asked = f"/Observation?code:in={VS}/cats"
    assert ids(await get(filled, asked)) == "lion tiger"
    await put(filled, seen("new", (ANIMALS, "cat")), seen("lion", (ANIMALS, "dog")))
    assert ids(await get(filled, asked)) == "new tiger"
    dogs = {"property": "concept", "op": "is-a", "value": "dog"}
    await put(filled, value_set("cats", {"system": ANIMALS, "filter": [dogs]}))
    assert ids(await get(filled, asked)) == "dog lion"
    await put(
        filled, code_system("animals", ANIMALS, concept("dog", concept("tiger")), concept("lion"))
    )
    assert ids(await get(filled, asked)) == "dog lion tiger"


async def test_very_many_codes_are_found_without_a_cap(
    filled: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminology, "MANY", 2)
    asked = f"/Observation?code:below={ANIMALS}|animal"
    for more in ("", "&_sort=-date", "&_total=accurate", "&status:not=entered-in-error"):
        assert ids(await get(filled, asked + more)) == "animal dog lion tiger"
    assert (await get(filled, f"{asked}&_summary=count"))["total"] == 4
    others = await get(filled, f"/Observation?code:not-in={VS}/whole")
    assert ids(others) == "bare rose text wrong"


CASED = "http://example.org/cased"


@pytest.mark.parametrize(
    ("sensitive", "found"), [(True, "lower"), (False, "lower upper")], ids=["counts", "does not"]
)
async def test_the_case_of_codes_counts_as_their_system_says(
    sensitive: bool,  # noqa: FBT001  (a member of a resource)
    found: str,
    client: httpx.AsyncClient,
) -> None:
    codes = [concept("aB"), concept("Ab")] if sensitive else [concept("Ab")]
    await put(
        client,
        {"resourceType": "Patient", "id": "p"},
        code_system("cased", CASED, *codes, caseSensitive=sensitive),
        value_set("lower", {"system": CASED, "concept": [{"code": "Ab"}]}),
        seen("upper", (CASED, "aB")),
        seen("lower", (CASED, "Ab")),
    )
    for asked in (f"in={VS}/lower", f"below={CASED}|Ab", f"above={CASED}|Ab"):
        assert ids(await get(client, f"/Observation?code:{asked}")) == found


async def test_a_value_set_asked_for_by_its_place_is_that_one(filled: httpx.AsyncClient) -> None:
    dogs, cats, bare = (
        value_set(name, {"system": ANIMALS, "concept": [{"code": code}]})
        for name, code in (("two-dogs", "dog"), ("two-lions", "lion"), ("bare", "tiger"))
    )
    del bare["url"]
    await put(filled, dogs, {**cats, "url": dogs["url"]}, bare)
    assert ids(await get(filled, "/Observation?code:in=ValueSet/two-dogs")) == "dog"
    assert ids(await get(filled, "/Observation?code:in=ValueSet/two-lions")) == "lion"
    assert ids(await get(filled, "/Observation?code:in=ValueSet/bare")) == "tiger"
