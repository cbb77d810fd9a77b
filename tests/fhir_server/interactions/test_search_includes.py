"""Includes: versions, canonicals, cycles, and the way to what a page has no room for."""

import httpx
import pytest

from fhir_server.config import Settings
from fhir_server.server import Server
from fhir_server.store import included as following_on

from .searching import Json, get, issues, links, observation, patient, put, shown, store


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    changed = getattr(request, "param", {})
    search = settings.search.model_copy(
        update={k: v for k, v in changed.items() if k == "max_includes"}
    )
    limits = settings.limits.model_copy(
        update={k: v for k, v in changed.items() if k != "max_includes"}
    )
    return settings.model_copy(update={"search": search, "limits": limits})


def included(bundle: Json) -> str:
    return " ".join(sorted(shown(bundle, "include")))


def codes(bundle: Json) -> list[str]:
    return [issue["code"] for issue in issues(bundle)]


async def all_included(client: httpx.AsyncClient, url: str) -> list[list[str]]:
    """What each page includes, from the first by `related` to the last."""
    following: str | None = url
    found = []
    while following:
        bundle = await get(client, following)
        found.append(shown(bundle, "include"))
        following = links(bundle).get("related")
        assert not following or "incomplete" in codes(bundle)
    return found


async def test_a_versioned_reference_brings_that_version(client: httpx.AsyncClient) -> None:
    await put(
        client,
        patient("a", gender="male"),
        patient("a", gender="female"),
        observation("o", "Patient/a/_history/1"),
        observation("p", "Patient/a"),
    )
    for search, version in (("_id=o", "1"), ("_id=p", "2"), ("_id=o,p", "2")):
        bundle = await get(client, f"/Observation?{search}&_include=Observation:subject")
        (found,) = [e["resource"] for e in bundle["entry"] if e["search"]["mode"] == "include"]
        assert (found["meta"]["versionId"], found["id"]) == (version, "a")


async def test_what_is_absent_deleted_foreign_or_contained_is_skipped(
    server: Server, client: httpx.AsyncClient
) -> None:
    away = observation("far", "http://other.example/fhir/Patient/a")
    inside = observation("in", "#p", contained=[patient("p")])
    await put(client, patient("a"), patient("gone"), away, inside)
    await put(client, observation("o", "Patient/a/_history/1"))
    assert (await client.delete("/Patient/gone")).status_code == 204
    await put(client, patient("gone"))
    dangling = observation("none", "Patient/none")
    never, erased = "Patient/a/_history/7", "Patient/gone/_history/2"
    others = [dangling, observation("old", never), observation("while", erased)]
    await store(server, others, 1)
    assert included(await get(client, "/Observation?_include=Observation:subject")) == "Patient/a"
    async with server.database.transaction() as connection:
        await connection.execute("UPDATE resource SET deleted = true WHERE id = 'a'")
    assert included(await get(client, "/Observation?_include=Observation:subject")) == ""


QUESTIONS = "http://x.org/Questionnaire/q"
LONG = "http://x.org/" + "q" * 300


def questionnaire(id_: str, url: str, version: str | None = None) -> Json:
    content = {"resourceType": "Questionnaire", "id": id_, "status": "active", "url": url}
    return {**content, "version": version} if version else content


def response(id_: str, canonical: str) -> Json:
    return {
        "resourceType": "QuestionnaireResponse",
        "id": id_,
        "status": "completed",
        "questionnaire": canonical,
    }


@pytest.fixture
async def published(client: httpx.AsyncClient) -> httpx.AsyncClient:
    await put(
        client,
        questionnaire("q2", QUESTIONS, "2.0"),
        questionnaire("q1", QUESTIONS, "1.0"),
        questionnaire("other", QUESTIONS + "x"),
        questionnaire("long", LONG),
        questionnaire("longer", LONG + "r"),
        response("any", QUESTIONS),
        response("one", f"{QUESTIONS}|1.0"),
        response("two", f"{QUESTIONS}|2.0"),
        response("three", f"{QUESTIONS}|3.0"),
        response("nowhere", "http://x.org/none"),
        response("long", LONG),
    )
    return client


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("_id=any&_include=QuestionnaireResponse:questionnaire", "Questionnaire/q1"),
        ("_id=one&_include=QuestionnaireResponse:questionnaire", "Questionnaire/q1"),
        ("_id=two&_include=QuestionnaireResponse:questionnaire", "Questionnaire/q2"),
        ("_id=two&_include=QuestionnaireResponse:questionnaire:Questionnaire", "Questionnaire/q2"),
        ("_id=two&_include=QuestionnaireResponse:*", "Questionnaire/q2"),
        ("_id=two&_include=*", "Questionnaire/q2"),
        ("_id=three&_include=QuestionnaireResponse:questionnaire", ""),
        ("_id=nowhere&_include=QuestionnaireResponse:questionnaire", ""),
        ("_id=long&_include=QuestionnaireResponse:questionnaire", "Questionnaire/long"),
        ("_id=one,two&_include=*", "Questionnaire/q1 Questionnaire/q2"),
        ("_id=two&_include=QuestionnaireResponse:subject", ""),
    ],
)
async def test_canonicals_lead_to_what_is_stored_under_the_url(
    asked: str, expected: str, published: httpx.AsyncClient
) -> None:
    assert included(await get(published, f"/QuestionnaireResponse?{asked}")) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("_id=q1&_revinclude=QuestionnaireResponse:questionnaire", "any one"),
        ("_id=q2&_revinclude=QuestionnaireResponse:questionnaire", "any two"),
        ("_id=other&_revinclude=QuestionnaireResponse:questionnaire", ""),
        ("_id=long&_revinclude=QuestionnaireResponse:questionnaire", "long"),
        ("_id=longer&_revinclude=QuestionnaireResponse:questionnaire", ""),
        ("_id=q1&_revinclude=*", "any one"),
        ("_id=q1&_revinclude=QuestionnaireResponse:subject", ""),
    ],
)
async def test_canonicals_lead_back(
    asked: str, expected: str, published: httpx.AsyncClient
) -> None:
    names = " ".join(f"QuestionnaireResponse/{one}" for one in expected.split())
    assert included(await get(published, f"/Questionnaire?{asked}")) == names


async def test_a_url_that_changed_leads_where_it_is_now(published: httpx.AsyncClient) -> None:
    await put(published, questionnaire("q1", "http://x.org/moved"))
    asked = "_id=any&_include=QuestionnaireResponse:questionnaire"
    assert included(await get(published, f"/QuestionnaireResponse?{asked}")) == "Questionnaire/q2"


@pytest.mark.parametrize(
    ("asked", "expression"),
    [
        ("_include=Observation:subject,Observation:performer", "_include"),
        ("_include=Observation:subject,performer", "_include"),
        ("_include=*,*", "_include"),
        ("_include=Observation", "_include"),
        ("_include=Observation:code", "_include"),
        ("_include=Observation:subject:Practitioner", "_include"),
        ("_include=Observation:subject:", "_include"),
        ("_include=Observation:subject:Patient:x", "_include"),
        ("_include:all=Observation:subject", "_include:all"),
        ("_revinclude:iterat=Provenance:target", "_revinclude:iterat"),
        ("&".join(["_include=Observation:subject"] * 21), "_include"),
    ],
)
async def test_refusals(asked: str, expression: str, client: httpx.AsyncClient) -> None:
    outcome = await get(client, f"/Observation?{asked}", 400)
    assert [issue["expression"] for issue in outcome["issue"]] == [[expression]]


async def test_twenty_includes_are_not_too_many(client: httpx.AsyncClient) -> None:
    await get(client, f"/Observation?{'&'.join(['_include=Observation:subject'] * 20)}")


CHAIN = [patient("f"), *(patient(a, b) for a, b in zip("edcba", "fedcb", strict=True))]


@pytest.mark.parametrize(
    ("asked", "expected", "said"),
    [
        ("_include=Patient:link", "b", []),
        ("_include:iterate=Patient:link", "b c d", ["incomplete"]),
        ("_include:recurse=Patient:link", "b c d", ["incomplete"]),
        ("_include=Patient:link&_include:iterate=Patient:link", "b c d", ["incomplete"]),
        ("_include:iterate=Patient:organization", "", []),
    ],
)
async def test_iteration_goes_three_rounds_and_says_what_it_left(
    asked: str, expected: str, said: list[str], client: httpx.AsyncClient
) -> None:
    await put(client, *CHAIN)
    bundle = await get(client, f"/Patient?_id=a&{asked}")
    names = " ".join(f"Patient/{one}" for one in expected.split())
    assert (included(bundle), codes(bundle)) == (names, said)
    assert "related" not in links(bundle)


@pytest.mark.parametrize("settings", [{"include_rounds": 5}], indirect=True)
async def test_iteration_that_reaches_the_end_says_nothing(client: httpx.AsyncClient) -> None:
    await put(client, *CHAIN)
    bundle = await get(client, "/Patient?_id=a&_include:iterate=Patient:link")
    names = " ".join(f"Patient/{one}" for one in "bcdef")
    assert (included(bundle), codes(bundle)) == (names, [])


async def ring(server: Server, size: int) -> None:
    """Patients of whom each is linked to the next and to one on the other side."""
    people = [patient(f"p{n}", f"p{(n + 1) % size}", f"p{(n * 7 + 3) % size}") for n in range(size)]
    await store(server, people)


@pytest.mark.parametrize("settings", [{"max_includes": 4}], indirect=True)
@pytest.mark.parametrize(
    "asked",
    [
        "_include:iterate=*",
        "_include=*&_include:iterate=Patient:link",
        "_revinclude:iterate=*",
        "_include:iterate=*&_revinclude:iterate=*",
    ],
)
async def test_every_include_on_a_cycle_comes_once(
    asked: str, server: Server, client: httpx.AsyncClient
) -> None:
    await ring(server, 40)
    whole = rounds_reached(40, asked)
    pages = await all_included(client, f"/Patient?_id=p0,p20&{asked}")
    found = [one for page in pages for one in page]
    assert len(found) == len(set(found))
    assert set(found) == whole
    assert [len(page) for page in pages[:-1]] == [4] * (len(pages) - 1)


def rounds_reached(size: int, asked: str) -> set[str]:
    """What three rounds from p0 and p20 reach, by the definition of the ring."""
    ahead = {n: {(n + 1) % size, (n * 7 + 3) % size} for n in range(size)}
    behind = {n: {m for m in range(size) if n in ahead[m]} for n in range(size)}
    seen, sources = {0, 20}, {0, 20}
    for _ in range(3):
        reached: set[int] = set()
        for one in sources:
            reached |= ahead[one] if "_include" in asked else set()
            reached |= behind[one] if "_revinclude" in asked else set()
        sources = reached - seen
        seen |= sources
    return {f"Patient/p{n}" for n in seen - {0, 20}}


async def test_five_thousand_reverse_includes_come_page_by_page(
    server: Server, client: httpx.AsyncClient
) -> None:
    many = [observation(f"o{n}", "Patient/a") for n in range(5_000)]
    others = [observation(f"x{n}", "Patient/b") for n in range(10)]
    await store(server, [patient("a"), patient("b"), *many, *others])
    first = await get(client, "/Patient?_id=a&_revinclude=Observation:subject")
    assert (first["total"], shown(first, "match")) == (1, ["Patient/a"])
    # What is written meanwhile takes no place from what was there.
    await put(
        client,
        observation("late", "Patient/a"),
        observation("o3000", "Patient/a", note=[{"text": "seen"}]),
    )
    pages = await all_included(client, links(first)["related"])
    found = [*shown(first, "include"), *(one for page in pages for one in page)]
    assert [len(page) for page in pages] == [1000, 1000, 1000, 1000, 1]
    assert sorted(found) == sorted(
        ["Observation/late", *(f"Observation/o{n}" for n in range(5000))]
    )


@pytest.mark.parametrize("settings", [{"page_bytes": 1_000}], indirect=True)
async def test_a_page_of_includes_ends_when_it_is_large(client: httpx.AsyncClient) -> None:
    note = [{"text": "x" * 400}]
    many = [observation(f"o{n}", "Patient/a", note=note) for n in range(5)]
    await put(client, patient("a"), *many, observation("huge", "Patient/a", note=note * 10))
    pages = await all_included(client, "/Patient?_revinclude=Observation:subject")
    assert [len(page) for page in pages] == [2, 2, 2]
    assert pages[2] == ["Observation/o4", "Observation/huge"]


@pytest.mark.parametrize("settings", [{"max_includes": 2}], indirect=True)
async def test_the_rest_is_a_page_of_its_own(client: httpx.AsyncClient) -> None:
    await put(client, patient("a"), *(observation(f"o{n}", "Patient/a") for n in range(4)))
    asked = "/Patient?_count=1&_elements=gender&_revinclude=Observation:subject"
    first = await get(client, asked)
    assert links(first).keys() == {"self", "first", "related"}
    rest = await get(client, links(first)["related"])
    assert links(rest).keys() == {"self"}
    assert (await get(client, links(rest)["self"]))["entry"] == rest["entry"]
    assert "total" not in rest
    assert shown(rest, "match") == []
    assert included(rest) == "Observation/o2 Observation/o3"
    assert all(
        "meta" not in e["resource"] or "tag" not in e["resource"]["meta"] for e in rest["entry"]
    )


@pytest.mark.parametrize("settings", [{"max_includes": 2}], indirect=True)
async def test_the_link_to_the_rest_is_of_this_search(client: httpx.AsyncClient) -> None:
    await put(client, patient("a"), *(observation(f"o{n}", "Patient/a") for n in range(4)))
    first = await get(client, "/Patient?_revinclude=Observation:subject")
    token = links(first)["related"].partition("?")[2]
    await get(client, f"/Patient?{token}")
    for url in (f"/Observation?{token}", f"/Patient?{token}&_count=1", f"/Patient?{token}x"):
        outcome = await get(client, url, 400)
        assert outcome["issue"][0]["expression"] == ["_page"]


@pytest.mark.parametrize("settings", [{"max_includes": 2, "url_bytes": 150}], indirect=True)
async def test_without_room_for_a_link_it_says_how_to_see_the_rest(
    client: httpx.AsyncClient,
) -> None:
    await put(client, patient("a"), *(observation(f"o{n}", "Patient/a") for n in range(4)))
    bundle = await get(client, "/Patient?_revinclude=Observation:subject")
    assert "related" not in links(bundle)
    assert codes(bundle) == ["incomplete"]


async def test_iteration_does_not_go_on_from_more_than_it_can_hold(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following_on, "MOST_SOURCES", 5)
    wide = [patient("a", *(f"b{n}" for n in range(1_001)))]
    wide += [patient(f"b{n}", "c") for n in range(1_001)]
    await store(server, [*wide, patient("c")])
    pages = await all_included(client, "/Patient?_id=a&_include:iterate=Patient:link")
    assert [len(page) for page in pages] == [1000, 1]


async def test_a_thousand_matches_fit_into_the_link(
    server: Server, client: httpx.AsyncClient
) -> None:
    people = [patient(f"p{n}") for n in range(1_000)]
    await store(server, [*people, *(observation(f"o{n}", f"Patient/p{n}") for n in range(1_000))])
    more = [observation(f"q{n}", f"Patient/p{n}") for n in range(1_000)]
    await store(server, more, 1 << 50)
    pages = await all_included(client, "/Patient?_count=1000&_revinclude=Observation:subject")
    assert [len(page) for page in pages] == [1000, 1000]
    assert len({one for page in pages for one in page}) == 2_000
