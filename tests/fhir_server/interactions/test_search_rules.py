"""How a query string is read: empty, repeated and unknown parameters, escapes and caps."""

import httpx
import pytest
from conftest import BASE

from fhir_server.server import Server

from .searching import Json, get, ids, issues, links, observation, patient, put, ref, store

LENIENT = {"prefer": "handling=lenient"}

SIGNS = "a,b$c|d\\e"
ESCAPED = r"a\,b\$c\|d\\e"
ENCODED = "a%5C,b%5C$c%5C|d%5C%5Ce"
RESOURCES: list[Json] = [
    patient("ann", name=[{"family": "Rao"}], gender="female", birthDate="1980-01-01"),
    patient("bob", name=[{"family": "Das", "given": ["Rao"]}], gender="male"),
    patient("signs", identifier=[{"system": "urn:s", "value": SIGNS}], name=[{"family": SIGNS}]),
    {"resourceType": "Organization", "id": "o0", "name": "Top"},
    *(
        {
            "resourceType": "Organization",
            "id": f"o{n}",
            "name": f"Level {n}",
            "partOf": ref(f"Organization/o{n - 1}"),
        }
        for n in range(1, 6)
    ),
    observation(
        "signs",
        "Patient/ann",
        code=SIGNS,
        effectiveDateTime="2020-01-01T10:00:00+05:30",
        valueString="a$b",
    ),
]


@pytest.fixture
async def filled(server: Server, client: httpx.AsyncClient) -> httpx.AsyncClient:
    await store(server, RESOURCES)
    return client


@pytest.mark.parametrize(
    ("asked", "expected", "shown"),
    [
        # A repeated name is AND, a comma is OR.
        ("Patient?name=rao&name=das", "bob", "name=rao&name=das"),
        ("Patient?name=rao,das", "ann bob", "name=rao,das"),
        ("Patient?gender=male,female&name=rao", "ann bob", "gender=male,female&name=rao"),
        # Escapes hold the sign as it is.
        (rf"Patient?identifier=urn:s|{ESCAPED}", "signs", f"identifier=urn:s|{ENCODED}"),
        (rf"Patient?identifier={ESCAPED}", "signs", f"identifier={ENCODED}"),
        ("Patient?identifier=urn:s|a,b", "", "identifier=urn:s|a,b"),
        (rf"Patient?family:exact={ESCAPED}", "signs", f"family:exact={ENCODED}"),
        (rf"Observation?code={ESCAPED}", "signs", f"code={ENCODED}"),
        (
            rf"Observation?code-value-string={ESCAPED}$a\$b",
            "signs",
            f"code-value-string={ENCODED}$a%5C$b",
        ),
        # Percent signs are decoded once, a plus is a blank.
        ("Patient?name=r%61o", "ann bob", "name=rao"),
        ("Patient?name=r%2561o", "", "name=r%2561o"),
        ("Patient?name:exact=+Rao", "", "name:exact=%20Rao"),
        ("Observation?date=2020-01-01T10:00+05:30", "signs", "date=2020-01-01T10:00%2005:30"),
        ("Observation?date=2020-01-01T10:00%2B05:30", "signs", "date=2020-01-01T10:00%2B05:30"),
        ("Patient?_contained=false&name=das", "bob", "_contained=false&name=das"),
        ("Patient?_explain=false&name=das", "bob", "_explain=false&name=das"),
        ("Patient?_count=100000&name=das", "bob", "_count=1000&name=das"),
        ("Patient?_count=0", "", "_count=0"),
    ],
)
async def test_what_is_applied_is_in_the_self_link(
    asked: str, expected: str, shown: str, filled: httpx.AsyncClient
) -> None:
    bundle = await get(filled, f"/{asked}")
    path = asked.partition("?")[0]
    assert (ids(bundle), links(bundle)["self"]) == (expected, f"{BASE}/{path}?{shown}")


@pytest.mark.parametrize(
    ("asked", "code", "lenient"),
    [
        # Unknown or empty: lenient handling passes it over.
        ("colour=red", "invalid", True),
        ("colour=", "invalid", True),
        ("Gender=male", "invalid", True),
        ("colour:exact=red", "invalid", True),
        ("organization.colour=red", "invalid", True),
        ("gender=", "invalid", True),
        ("name:exact=", "invalid", True),
        ("organization.name=", "invalid", True),
        ("_has:Observation:patient:code=", "invalid", True),
        ("_count=", "invalid", True),
        ("_sort=", "invalid", True),
        ("_list=", "invalid", True),
        # Everything else is refused in either handling.
        ("gender=male,", "value", False),
        ("gender=,male", "value", False),
        ("gender:exact=male", "not-supported", False),
        ("gender:exact=", "not-supported", False),
        ("birthdate:contains=", "not-supported", False),
        ("organization.name:above=", "not-supported", False),
        (r"gender=a\b", "value", False),
        ("gender=a\\", "value", False),
        ("birthdate=xx2020", "not-supported", False),
        ("birthdate=soon", "value", False),
        ("gender=%00", "value", False),
        ("_count=1&_count=2", "invalid", False),
        ("_sort=name&_sort=birthdate", "invalid", False),
        ("_summary=true&_summary=false", "invalid", False),
        ("_contained=false&_contained=false", "invalid", False),
        ("_explain=true&_explain=true", "invalid", False),
        ("_count=many", "value", False),
        ("_count:max=2", "not-supported", False),
        ("_sort=colour", "invalid", False),
        ("_sort=organization.name", "not-supported", False),
        ("_filter=", "invalid", False),
        ("_filter=colour eq red", "invalid", False),
        ("_filter:not=name eq x", "not-supported", False),
        ("_query=", "invalid", False),
        ("_query=current-high-risk", "not-supported", False),
        ("_contained=true", "not-supported", False),
        ("_contained=both", "not-supported", False),
        ("_contained=some", "value", False),
        ("_containedType=container", "not-supported", False),
        ("_explain=yes", "value", False),
        ("organization._filter=name eq x", "not-supported", False),
        ("_include=Patient:organization,Patient:link", "value", False),
        ("_type=Observation", "invalid", False),
    ],
)
async def test_what_lenient_handling_passes_over(
    asked: str,
    code: str,
    lenient: bool,  # noqa: FBT001  (a column of the table)
    filled: httpx.AsyncClient,
) -> None:
    refused = await get(filled, f"/Patient?{asked}&name=rao", 400)
    name = asked.rsplit("&", maxsplit=1)[-1].partition("=")[0]
    assert [(one["code"], one["expression"]) for one in refused["issue"]] == [(code, [name])]
    answer = await filled.get(f"/Patient?{asked}&name=rao", headers=LENIENT)
    assert answer.status_code == (200 if lenient else 400)
    if not lenient:
        assert answer.json()["issue"] == refused["issue"]
        return
    bundle = answer.json()
    warned = [{**one, "severity": "warning"} for one in refused["issue"]]
    assert (issues(bundle), ids(bundle)) == (warned, "ann bob")
    assert links(bundle)["self"] == f"{BASE}/Patient?name=rao"


async def test_no_refusal_quotes_the_value(filled: httpx.AsyncClient) -> None:
    for name in ("gender", "birthdate", "_query", "_filter", "_list", "_count", "_include"):
        answer = await filled.get(f"/Patient?{name}=Zaphod,")
        assert answer.status_code == 400
        assert "Zaphod" not in answer.text


@pytest.mark.parametrize("parameter", ["gender", "identifier", "family", "birthdate", "_id"])
async def test_a_thousand_alternatives_are_answered_and_one_more_is_refused(
    parameter: str, filled: httpx.AsyncClient
) -> None:
    values = [str(1000 + n) for n in range(1_001)]
    for count, status in ((1_000, 200), (1_001, 400)):
        form = {parameter: ",".join(values[:count])}
        answer = await filled.post("/Patient/_search", data=form)
        assert answer.status_code == status, answer.text
        if status == 400:
            (issue,) = answer.json()["issue"]
            assert (issue["code"], issue["expression"]) == ("too-costly", [parameter])


@pytest.mark.parametrize(
    ("path", "four", "five"),
    [
        (
            "Organization",
            "partof.partof.partof.partof.name=level 1",
            "partof.partof.partof.partof.partof.name=top",
        ),
        (
            "Organization",
            '_filter=partof.partof.partof.partof.name eq "level 1"',
            "_filter=partof.partof.partof.partof.partof.name eq top",
        ),
    ],
)
async def test_four_references_are_followed_and_a_fifth_is_refused(
    path: str, four: str, five: str, filled: httpx.AsyncClient
) -> None:
    assert ids(await get(filled, f"/{path}?{four}")) == "o5"
    (issue,) = (await get(filled, f"/{path}?{five}", 400))["issue"]
    assert issue["code"] == "too-costly"


async def test_four_references_are_followed_backwards(filled: httpx.AsyncClient) -> None:
    has = "_has:Organization:partof:"
    assert ids(await get(filled, f"/Organization?{has * 4}name=level 5")) == "o1"
    await get(filled, f"/Organization?{has * 5}name=level 5", 400)


async def test_a_large_page_is_reduced_and_says_so(filled: httpx.AsyncClient) -> None:
    for count, shown in (("1000", "1000"), ("1001", "1000"), ("100000", "1000")):
        bundle = await get(filled, f"/Patient?_count={count}")
        assert links(bundle)["self"] == f"{BASE}/Patient?_count={shown}"
    await get(filled, "/Patient?_count=1000000000", 400)


async def test_a_hundred_parameters_are_read_and_one_more_is_refused(
    filled: httpx.AsyncClient,
) -> None:
    await get(filled, f"/Patient?{'&'.join(['name=rao'] * 100)}")
    await get(filled, f"/Patient?{'&'.join(['name=rao'] * 101)}", 400)


async def test_later_pages_need_no_leniency(filled: httpx.AsyncClient) -> None:
    first = await get(filled, "/Patient?colour=red&_count=2", **LENIENT)
    assert len(issues(first)) == 1
    following = await get(filled, links(first)["next"])
    assert issues(following) == []
    assert links(following)["self"] == f"{BASE}/Patient?_count=2"


async def test_put_and_search_share_the_same_text(client: httpx.AsyncClient) -> None:
    names = {"dev": "कृष्ण", "tam": "கிருஷ்ணன்"}
    await put(client, *(patient(one, name=[{"family": name}]) for one, name in names.items()))
    for one, name in names.items():
        assert ids(await get(client, f"/Patient?_filter=family eq {name}")) == one
        assert ids(await get(client, f"/Patient?family={name}")) == one
