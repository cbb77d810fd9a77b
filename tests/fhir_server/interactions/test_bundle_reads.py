"""Reads inside a batch or transaction."""

import httpx
import pytest

from .asking import entry, identified, observation, patient, put, refusal, send, statuses

READS = [
    ("Patient/p", "Patient", ""),
    ("Patient/p/_history/1", "Patient", ""),
    ("Patient/p/_history", "Bundle", "history"),
    ("Patient/_history?_count=1", "Bundle", "history"),
    ("_history", "Bundle", "history"),
    ("Patient?identifier=urn:s|1", "Bundle", "searchset"),
    ("?_type=Patient&_id=p", "Bundle", "searchset"),
    ("Patient/p/Observation", "Bundle", "searchset"),
    ("Patient/p/*?_lastUpdated=gt2000", "Bundle", "searchset"),
    ("metadata", "CapabilityStatement", ""),
    ("metadata?mode=normative", "CapabilityStatement", ""),
    ("/Patient/p", "Patient", ""),
    ("http://testserver/fhir/Patient/p", "Patient", ""),
    ("http://testserver/fhir/Patient?_id=p", "Bundle", "searchset"),
    ("Patient/p?_elements=active", "Patient", ""),
    ("Patient/p?_summary=true", "Patient", ""),
    ("Patient/p/_history/1?_summary=text", "Patient", ""),
]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize(("url", "type_name", "form"), READS, ids=[url for url, _, _ in READS])
async def test_each_read_has_its_place_in_a_bundle(
    client: httpx.AsyncClient, kind: str, url: str, type_name: str, form: str
) -> None:
    await put(client, identified("1", id="p"))
    await put(client, observation("Patient/p", id="o"))
    response = await send(client, kind, entry("GET", url), entry("HEAD", url))
    got, head = response.json()["entry"]
    assert statuses(response) == ["200", "200"]
    assert (got["resource"]["resourceType"], got["resource"].get("type", "")) == (type_name, form)
    assert "resource" not in head
    assert head["response"] == got["response"]


async def test_searches_and_histories_hold_what_they_should(client: httpx.AsyncClient) -> None:
    await put(client, identified("1", id="p"))
    await put(client, identified("2", id="q"))
    await put(client, observation("Patient/p", id="o"))
    await put(client, observation("Patient/q", id="other"))
    await put(client, identified("1", id="p", active=True))
    urls = ["Patient?identifier=urn:s|1", "Patient/p/Observation", "Patient/p/_history"]
    response = await send(client, "batch", *(entry("GET", url) for url in urls))
    found = [
        [(one["resource"]["id"], one["resource"]["meta"]["versionId"]) for one in e["entry"]]
        for e in (one["resource"] for one in response.json()["entry"])
    ]
    assert found == [[("p", "2")], [("o", "1")], [("p", "2"), ("p", "1")]]


@pytest.mark.parametrize(
    ("url", "more", "status"),
    [
        ("Patient/p", {"ifNoneMatch": 'W/"1"'}, "304"),
        ("Patient/p", {"ifNoneMatch": 'W/"2"'}, "200"),
        ("Patient/p", {"ifModifiedSince": "2999-01-01T00:00:00Z"}, "304"),
        ("Patient/p", {"ifModifiedSince": "2001-01-01T00:00:00Z"}, "200"),
        (
            "Patient/p",
            {"ifNoneMatch": 'W/"2"', "ifModifiedSince": "2999-01-01T00:00:00Z"},
            "200",
        ),
        ("Patient/p?_elements=id", {"ifNoneMatch": 'W/"1"'}, "304"),
        ("Patient/p/_history/1", {"ifNoneMatch": 'W/"1"'}, "304"),
        ("Patient/p/_history/1", {"ifModifiedSince": "2999-01-01T00:00:00Z"}, "304"),
        ("Patient/p", {"ifModifiedSince": "yesterday"}, "400"),
        ("Patient/p", {"ifNoneMatch": "nonsense"}, "400"),
    ],
)
async def test_reads_are_conditional(
    client: httpx.AsyncClient, url: str, more: dict[str, str], status: str
) -> None:
    await put(client, patient(id="p"))
    response = await send(client, "batch", entry("GET", url, **more))
    (got,) = response.json()["entry"]
    assert (statuses(response), "resource" in got) == ([status], status == "200")


async def test_capabilities_are_not_sent_to_who_has_them(client: httpx.AsyncClient) -> None:
    etag = (await client.get("/metadata")).headers["etag"]
    response = await send(client, "batch", entry("GET", "metadata", ifNoneMatch=etag))
    assert statuses(response) == ["304"]


REFUSED = [
    ("Patient/nobody", 404, "not-found"),
    ("Patient/gone", 410, "deleted"),
    ("Patient/p/_history/7", 404, "not-found"),
    ("Patient/p/_history/1/x", 404, "not-supported"),
    ("Patient/p/Nonsense", 404, "not-supported"),
    ("Patient/nobody/Observation", 404, "not-found"),
    ("Nonsense/p", 404, "not-supported"),
    ("Patient/no id", 400, "value"),
    ("Patient/p?_count=1", 400, "invalid"),
    ("Patient/p?_summary=true&_elements=id", 400, "invalid"),
    ("Patient/p?_summary=maybe", 400, "value"),
    ("Patient?nonsense=1", 400, "invalid"),
    ("metadata?mode=nonsense", 400, "value"),
    ("metadata?x=y", 400, "invalid"),
    ("https://elsewhere.org/fhir/Patient/p", 400, "value"),
    ("//elsewhere.org/Patient/p", 400, "value"),
    ("", 400, "value"),
]


@pytest.mark.parametrize(("url", "status", "code"), REFUSED, ids=[url for url, _, _ in REFUSED])
async def test_a_read_that_fails_fails_the_transaction(
    client: httpx.AsyncClient, url: str, status: int, code: str
) -> None:
    await put(client, patient(id="p"))
    await put(client, patient(id="gone"))
    await client.delete("/Patient/gone")
    response = await send(
        client, "transaction", entry("PUT", "Patient/q", patient(id="q")), entry("GET", url)
    )
    assert refusal(response)[:2] == (status, code)
    assert refusal(response)[2].startswith("Bundle.entry[1]")
    assert (await client.get("/Patient/q")).status_code == 404


async def test_a_read_that_fails_is_alone_in_a_batch(client: httpx.AsyncClient) -> None:
    await put(client, patient(id="p"))
    urls = ["Patient/nobody", "Patient/p", "Nonsense"]
    response = await send(client, "batch", *(entry("GET", url) for url in urls))
    assert statuses(response) == ["404", "200", "404"]


async def test_reads_see_what_the_transaction_writes(client: httpx.AsyncClient) -> None:
    await put(client, identified("old", id="p"))
    response = await send(
        client,
        "transaction",
        entry("GET", "Patient/p"),
        entry("GET", "Patient?identifier=urn:s|new"),
        entry("GET", "Patient?identifier=urn:s|old"),
        entry("GET", "Patient/p/_history"),
        entry("PUT", "Patient/p", identified("new", id="p")),
    )
    read, new, old, history, _ = (e.get("resource") for e in response.json()["entry"])
    assert read["identifier"][0]["value"] == "new"
    assert [len(one.get("entry", ())) for one in (new, old, history)] == [1, 0, 2]


@pytest.mark.parametrize(
    ("prefer", "shown"),
    [
        (None, (False, False)),
        ("minimal", (False, False)),
        ("representation", (True, False)),
        ("OperationOutcome", (False, True)),
    ],
)
async def test_writes_answer_as_preferred(
    client: httpx.AsyncClient, prefer: str | None, shown: tuple[bool, bool]
) -> None:
    headers = {"prefer": f"return={prefer}"} if prefer else {}
    for kind in ("batch", "transaction"):
        response = await send(client, kind, entry("POST", "Patient", patient()), **headers)
        (got,) = response.json()["entry"]
        assert ("resource" in got, "outcome" in got["response"]) == shown
        assert response.headers.get("preference-applied") == headers.get("prefer")
