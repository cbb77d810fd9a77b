"""References between the entries of a Bundle: by fullUrl and by criteria."""

from typing import Any

import httpx
import msgspec
import pytest

from .asking import (
    FHIR,
    URN,
    Json,
    bundle,
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

OTHER = "urn:uuid:99999999-6a3e-4c58-9a55-2f9b1c0d1e2f"
ELSEWHERE = "http://elsewhere.org/fhir"
XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">'
CRITERIA = "Patient?identifier=urn:s|1"


def narrative(inner: str) -> Json:
    return {"text": {"status": "generated", "div": f"{XHTML}{inner}</div>"}}


def extension(**value: Any) -> Json:
    return {"extension": [{"url": "http://x.org/e", **value}]}


# What is rewritten, by element type: (where, resource with {} for the fullUrl).
REWRITTEN: dict[str, Json] = {
    "Reference": {"subject": {"reference": "{}"}},
    "Reference with fragment": {"subject": {"reference": "{}#part"}},
    "contained": {
        "contained": [
            {
                "resourceType": "Basic",
                "id": "b",
                "code": {"text": "x"},
                "subject": {"reference": "{}"},
            }
        ],
        "focus": [{"reference": "#b"}],
    },
    "extension valueReference": extension(valueReference={"reference": "{}"}),
    "extension valueUri": extension(valueUri="{}"),
    "extension valueUrl": extension(valueUrl="{}"),
    "extension valueCanonical": extension(valueCanonical="{}"),
    "extension valueOid": extension(valueOid="{}"),
    "extension valueUuid": extension(valueUuid="{}"),
    "extension of a primitive": {"_status": extension(valueUri="{}")},
    "extension of an extension": {
        "extension": [{"url": "http://x.org/o", **extension(valueUri="{}")}]
    },
    "a/@href": narrative('<a href="{}">x</a>'),
    "a/@href, single quotes": narrative("<a title='t' href='{}#part'>x</a>"),
    "img/@src": narrative('<img alt="i" src="{}"/>'),
    "implicitRules": {"implicitRules": "{}"},
    "Identifier.system": {"identifier": [{"system": "{}", "value": "v"}]},
    "Annotation.author": {"note": [{"text": "t", "authorReference": {"reference": "{}"}}]},
    "meta.source": {"meta": {"source": "{}"}},
}

# What has the same text and is another thing.
KEPT: dict[str, Json] = {
    "Identifier.value": {"identifier": [{"value": "{}"}]},
    "valueString": {"valueString": "{}"},
    "display": {"subject": {"display": "{}"}},
    "code": {"code": {"text": "{}"}},
    "narrative text": narrative("<p>{}</p>"),
    "narrative title": narrative('<p title="{}">x</p>'),
    "Extension.url": {"extension": [{"url": "{}", "valueBoolean": True}]},
    "part of a uri": extension(valueUri="see:{}"),
    "longer uri": extension(valueUri="{}0"),
    "annotation": {"note": [{"text": "{}"}]},
}


def filled(template: Json, value: str) -> Json:
    text = msgspec.json.encode(template).decode().replace("{}", value)
    filled_in: Json = msgspec.json.decode(text)
    return filled_in


def made(template: Json, value: str) -> Json:
    resource = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    return {**resource, **filled(template, value)}


FULL_URLS = {"urn:uuid": URN, "http": f"{ELSEWHERE}/Patient/5", "urn:oid": "urn:oid:1.2.3"}
# An oid or uuid holds no other fullUrl.
REWRITINGS = {
    f"{place}, {kind}": (template, full_url)
    for place, template in REWRITTEN.items()
    for kind, full_url in FULL_URLS.items()
    if not place.endswith(("Oid", "Uuid")) or place.lower().endswith(kind.removeprefix("urn:"))
}


@pytest.mark.parametrize(("template", "full_url"), REWRITINGS.values(), ids=REWRITINGS)
async def test_full_url_is_rewritten_in(
    client: httpx.AsyncClient, template: Json, full_url: str
) -> None:
    sent = made(template, full_url)
    response = await send(
        client,
        "transaction",
        entry("POST", "Observation", sent),
        entry("POST", "Patient", patient(), fullUrl=full_url),
    )
    assert response.status_code == 200, response.text
    place, target = places(response)
    found = await stored(client, place)
    expected = made(template, target)
    assert {name: found.get(name) for name in template if name != "meta"} == {
        name: expected[name] for name in template if name != "meta"
    }
    assert found["meta"].get("source") == expected.get("meta", {}).get("source")


@pytest.mark.parametrize("template", KEPT.values(), ids=KEPT)
async def test_equal_text_is_kept_in(client: httpx.AsyncClient, template: Json) -> None:
    both = {**made(template, URN), "focus": [{"reference": URN}]}
    response = await send(
        client,
        "transaction",
        entry("POST", "Observation", both),
        entry("POST", "Patient", patient(), fullUrl=URN),
    )
    assert response.status_code == 200, response.text
    place, target = places(response)
    found = await stored(client, place)
    assert {name: found[name] for name in template} == {n: both[n] for n in template}
    assert found["focus"] == [{"reference": target}]


@pytest.mark.parametrize(
    ("reference", "string"),
    [
        (URN.replace("u", "\\u0075", 1), URN),
        (URN, URN.replace("u", "\\u0075", 1)),
        ("Patient\\/5", "Patient/5"),
        ("Patient/5", "Patient\\/5"),
    ],
    ids=["reference escaped", "string escaped", "slash of reference", "slash of string"],
)
async def test_escapes_do_not_hide_which_text_is_the_reference(
    client: httpx.AsyncClient, reference: str, string: str
) -> None:
    sent = observation("REFERENCE", valueString="STRING", note=[{"text": "0"}])
    sent["component"] = [{"code": {"text": "x"}, "valueQuantity": {"value": 7777}}]
    url = URN if "uuid" in string else f"{ELSEWHERE}/Patient/5"
    raw = (
        bundle(
            "transaction",
            entry("POST", "Observation", sent, fullUrl=f"{ELSEWHERE}/Observation/1"),
            entry("POST", "Patient", patient(), fullUrl=url),
        )
        .replace(b"REFERENCE", reference.encode())
        .replace(b"STRING", string.encode())
        .replace(b"7777", b"0.0000000100")
    )
    response = await client.post("", content=raw, headers=FHIR)
    place, target = places(response)
    found = await client.get(f"/{place}")
    plain = string.replace("\\u0075", "u").replace("\\/", "/")
    assert found.json()["subject"] == {"reference": target}
    assert found.json()["valueString"] == plain
    assert b'"value":0.0000000100}' in found.content


async def test_what_one_reference_becomes_is_not_rewritten_again(client: httpx.AsyncClient) -> None:
    """Patient/9 of elsewhere is stored as Patient/5 here, and Patient/5 under an id of ours."""
    sent = observation("Patient/9", performer=[{"reference": "Patient/5"}])
    response = await send(
        client,
        "transaction",
        entry("POST", "Observation", sent, fullUrl=f"{ELSEWHERE}/Observation/1"),
        entry("PUT", "Patient/5", patient(id="5"), fullUrl=f"{ELSEWHERE}/Patient/9"),
        entry("POST", "Patient", patient(), fullUrl=f"{ELSEWHERE}/Patient/5"),
    )
    place, _, own = places(response)
    found = await stored(client, place)
    assert found["subject"] == {"reference": "Patient/5"}
    assert found["performer"] == [{"reference": own}]


async def test_one_text_may_stand_for_two_entries(client: httpx.AsyncClient) -> None:
    """A reference is looked for beside its own fullUrl, a uri is not."""
    sent = observation("Patient/5", **extension(valueUri="Patient/5"))
    response = await send(
        client,
        "transaction",
        entry("POST", "Observation", sent, fullUrl=f"{ELSEWHERE}/Observation/1"),
        entry("POST", "Patient", patient(), fullUrl="Patient/5"),
        entry("POST", "Patient", patient(), fullUrl=f"{ELSEWHERE}/Patient/5"),
    )
    place, plain, beside = places(response)
    found = await stored(client, place)
    assert found["subject"] == {"reference": beside}
    assert found["extension"][0]["valueUri"] == plain


@pytest.mark.parametrize(
    ("reference", "own", "expected"),
    [
        ("Patient/5", f"{ELSEWHERE}/Observation/1", "theirs"),
        ("Patient/5#part", f"{ELSEWHERE}/Observation/1", "theirs#part"),
        ("Patient/5", OTHER, "Patient/5"),
        ("Patient/5", None, "Patient/5"),
        (f"{ELSEWHERE}/Patient/5", None, "theirs"),
        ("http://testserver/fhir/Patient/5", None, "http://testserver/fhir/Patient/5"),
    ],
)
async def test_relative_reference_is_resolved_against_a_restful_full_url(
    client: httpx.AsyncClient, reference: str, own: str | None, expected: str
) -> None:
    await put(client, patient(id="5"))
    response = await send(
        client,
        "transaction",
        entry("POST", "Observation", observation(reference), fullUrl=own),
        entry("POST", "Patient", patient(), fullUrl=f"{ELSEWHERE}/Patient/5"),
    )
    place, theirs = places(response)
    found = await stored(client, place)
    assert found["subject"]["reference"] == expected.replace("theirs", theirs)


@pytest.mark.parametrize("urn", [OTHER, "urn:oid:1.2.3.4", f"{OTHER}#part"])
@pytest.mark.parametrize("kind", ["transaction", "batch"])
async def test_urn_that_is_no_entry_is_400(client: httpx.AsyncClient, kind: str, urn: str) -> None:
    response = await send(
        client,
        kind,
        entry("POST", "Patient", patient(), fullUrl=URN),
        entry("POST", "Observation", observation(urn)),
    )
    if kind == "batch":
        assert statuses(response) == ["201", "400"]
        issue = response.json()["entry"][1]["response"]["outcome"]["issue"][0]
        found = (400, issue["code"], issue["expression"][0])
    else:
        found = refusal(response)
    assert found == (400, "value", "Bundle.entry[1].resource.subject.reference")


@pytest.mark.parametrize(
    "sent",
    [
        observation(URN),
        made(REWRITTEN["extension valueUri"], URN),
        made(REWRITTEN["a/@href"], f"{URN}#part"),
    ],
    ids=["Reference", "uri", "narrative"],
)
async def test_entry_of_a_batch_does_not_refer_to_another(
    client: httpx.AsyncClient, sent: Json
) -> None:
    response = await send(
        client,
        "batch",
        entry("POST", "Observation", sent),
        entry("POST", "Patient", patient(), fullUrl=URN),
        entry("POST", "Observation", made(REWRITTEN["extension valueUri"], OTHER)),
    )
    assert statuses(response) == ["400", "201", "201"]


async def test_entry_of_a_batch_may_refer_to_itself(client: httpx.AsyncClient) -> None:
    sent = made(REWRITTEN["a/@href"], URN)
    response = await send(client, "batch", entry("POST", "Observation", sent, fullUrl=URN))
    (place,) = places(response)
    assert f'href="{place}"' in (await stored(client, place))["text"]["div"]


# Conditional references: criteria, what else the bundle does, and where it leads.

ORGANIZATION: Json = {"resourceType": "Organization", "id": "org", "name": "Sanjeevani"}
STORED = identified(
    "1",
    id="p",
    name=[{"family": "Rao"}],
    birthDate="1980-05-01",
    managingOrganization={"reference": "Organization/org"},
)
NEW = identified("2", name=[{"family": "Iyer"}], birthDate="1990-01-02")

RESOLVED: dict[str, tuple[str, list[Json], str]] = {
    "stored, by identifier": (CRITERIA, [], "Patient/p"),
    "stored, by name": ("Patient?family=rao", [], "Patient/p"),
    "stored, by two": ("Patient?family=rao&birthdate=1980-05", [], "Patient/p"),
    "stored, by chain": ("Patient?organization.name=sanjee", [], "Patient/p"),
    "stored, by id": ("Patient?_id=p", [], "Patient/p"),
    "created, by identifier": (
        "Patient?identifier=urn:s|2",
        [entry("POST", "Patient", NEW)],
        "entry 1",
    ),
    "created, by value alone": ("Patient?identifier=2", [entry("POST", "Patient", NEW)], "entry 1"),
    "created, by name and date": (
        "Patient?name:exact=Iyer&birthdate=ge1990",
        [entry("POST", "Patient", NEW)],
        "entry 1",
    ),
    "put": ("Patient?family=iyer", [entry("PUT", "Patient/q", {**NEW, "id": "q"})], "Patient/q"),
    "created, by chain": (
        "Patient?organization.name=arogya",
        [
            entry("POST", "Patient", patient(managingOrganization={"reference": OTHER})),
            entry(
                "POST",
                "Organization",
                {"resourceType": "Organization", "name": "Arogya"},
                fullUrl=OTHER,
            ),
        ],
        "entry 1",
    ),
    "chain through what is changed": (
        "Patient?organization.name=arogya",
        [entry("PUT", "Organization/org", {**ORGANIZATION, "name": "Arogya"})],
        "Patient/p",
    ),
    "by _has of what is created": (
        "Patient?_has:Encounter:patient:status=planned",
        [
            entry(
                "POST",
                "Encounter",
                {
                    "resourceType": "Encounter",
                    "status": "planned",
                    "class": {"code": "AMB"},
                    "subject": {"reference": "Patient/p"},
                },
            )
        ],
        "Patient/p",
    ),
    "changed so that it matches": (
        "Patient?birthdate=2000",
        [entry("PUT", "Patient/p", {**STORED, "birthDate": "2000-01-01"})],
        "Patient/p",
    ),
    "created while the other is deleted": (
        "Patient?family=Rao,Iyer",
        [entry("POST", "Patient", NEW), entry("DELETE", "Patient/p")],
        "entry 1",
    ),
    "created while the other is changed": (
        "Patient?gender=female",
        [
            entry("POST", "Patient", {**NEW, "gender": "female"}),
            entry("PUT", "Patient/p", {**STORED, "gender": "male"}),
        ],
        "entry 1",
    ),
    "patched": (
        "Patient?gender=other",
        [
            entry(
                "PATCH",
                "Patient/p",
                {
                    "resourceType": "Parameters",
                    "parameter": [
                        {
                            "name": "operation",
                            "part": [
                                {"name": "type", "valueCode": "add"},
                                {"name": "path", "valueString": "Patient"},
                                {"name": "name", "valueString": "gender"},
                                {"name": "value", "valueCode": "other"},
                            ],
                        }
                    ],
                },
            )
        ],
        "Patient/p",
    ),
    "conditional create that finds": (
        CRITERIA,
        [entry("POST", "Patient", identified("1"), ifNoneExist="identifier=urn:s|1")],
        "Patient/p",
    ),
}


async def _given(client: httpx.AsyncClient) -> None:
    await put(client, ORGANIZATION)
    await put(client, STORED)


@pytest.mark.parametrize(("text", "others", "expected"), RESOLVED.values(), ids=RESOLVED)
async def test_conditional_reference_leads_to(
    client: httpx.AsyncClient, text: str, others: list[Json], expected: str
) -> None:
    await _given(client)
    mine = entry("POST", "Observation", observation(text))
    response = await send(client, "transaction", mine, *others)
    assert response.status_code == 200, response.text
    found = places(response)
    subject = (await stored(client, found[0]))["subject"]["reference"]
    assert subject == (found[1] if expected == "entry 1" else expected)
    sought = await client.get("/Observation", params={"subject": subject})
    assert [f"Observation/{e['resource']['id']}" for e in sought.json()["entry"]] == found[:1]


UNRESOLVED: dict[str, tuple[str, list[Json], str]] = {
    "nothing": ("Patient?family=nobody", [], "not-found"),
    "deleted": (CRITERIA, [entry("DELETE", "Patient/p")], "not-found"),
    "changed": (CRITERIA, [entry("PUT", "Patient/p", patient(id="p"))], "not-found"),
    "stored and created": (
        CRITERIA,
        [entry("POST", "Patient", identified("1"))],
        "multiple-matches",
    ),
    "created twice": (
        "Patient?family=iyer",
        [entry("POST", "Patient", NEW), entry("POST", "Patient", NEW)],
        "multiple-matches",
    ),
    "of another type": ("Group?identifier=urn:s|1", [], "not-found"),
    "chain broken by a change": (
        "Patient?organization.name=sanjee",
        [entry("PUT", "Organization/org", {**ORGANIZATION, "name": "Arogya"})],
        "not-found",
    ),
}


@pytest.mark.parametrize(("text", "others", "code"), UNRESOLVED.values(), ids=UNRESOLVED)
async def test_conditional_reference_without_one_match_is_412(
    client: httpx.AsyncClient, text: str, others: list[Json], code: str
) -> None:
    await _given(client)
    mine = entry("POST", "Observation", observation(text))
    response = await send(client, "transaction", *others, mine)
    place = f"Bundle.entry[{len(others)}].resource.subject.reference"
    assert refusal(response) == (412, code, place)


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("Patient?nonsense=1", 400, "invalid"),
        ("Patient?_count=1", 400, "not-supported"),
        ("Patient?", 400, "required"),
        ("Patient?name:near=x", 400, "not-supported"),
        ("Patient?name=%ff", 400, "value"),
    ],
)
async def test_conditional_reference_that_cannot_be_asked_is_400(
    client: httpx.AsyncClient, text: str, status: int, code: str
) -> None:
    mine = entry("POST", "Observation", observation(text))
    response = await send(client, "transaction", mine)
    assert refusal(response)[:2] == (status, code)
    assert refusal(response)[2].startswith("Bundle.entry[0]")


async def test_conditional_reference_is_for_transactions_only(client: httpx.AsyncClient) -> None:
    await _given(client)
    sent = observation(CRITERIA)
    response = await send(client, "batch", entry("POST", "Observation", sent))
    assert statuses(response) == ["422"]
    alone = await client.post("/Observation", content=msgspec.json.encode(sent), headers=FHIR)
    assert refusal(alone) == (422, "invalid", "Observation.subject.reference")


async def test_third_match_is_seen_where_one_of_the_first_two_is_deleted(
    client: httpx.AsyncClient,
) -> None:
    for name in ("a", "b", "c"):
        await put(client, identified("1", id=name))
    mine = entry("POST", "Observation", observation(CRITERIA))
    for gone in ("a", "b", "c"):
        response = await send(client, "transaction", mine, entry("DELETE", f"Patient/{gone}"))
        assert refusal(response)[:2] == (412, "multiple-matches")
