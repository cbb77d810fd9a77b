"""Searches over several resources: chains, `_has`, all types, compartments."""

from typing import Any

import msgspec
import pytest

from fhir_server.caller import trusted
from fhir_server.errors import BadRequest, NotFound, NotSupported, SangamError
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.put_many import Put, put_many
from fhir_server.interactions.search import search
from fhir_server.interactions.transaction import transaction
from fhir_server.search.compartment import Compartment
from fhir_server.server import Server

Json = dict[str, Any]
ME = trusted("me", "rest")


def ref(place: str) -> Json:
    return {"reference": place}


def observation(id_: str, subject: str, code: str, **more: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"code": code}]},
        "subject": ref(subject),
        **more,
    }


RESOURCES: list[Json] = [
    {"resourceType": "Organization", "id": "hill", "name": "Hill Clinic"},
    {
        "resourceType": "Organization",
        "id": "lake",
        "name": "Lake Clinic",
        "partOf": ref("Organization/hill"),
    },
    {
        "resourceType": "Patient",
        "id": "ann",
        "name": [{"family": "Rao", "given": ["Ann"]}],
        "gender": "female",
        "managingOrganization": ref("Organization/lake"),
    },
    {
        "resourceType": "Patient",
        "id": "bob",
        "name": [{"family": "Das"}],
        "gender": "male",
        "link": [{"other": ref("Patient/ann"), "type": "seealso"}],
    },
    {"resourceType": "Patient", "id": "dora"},
    {
        "resourceType": "Group",
        "id": "ann",
        "type": "person",
        "actual": True,
        "code": {"coding": [{"code": "Rao"}]},
    },
    {
        "resourceType": "Device",
        "id": "d",
        "deviceName": [{"name": "Rao", "type": "other"}],
        "identifier": [{"value": "7"}],
    },
    observation("o1", "Patient/ann", "pulse", valueQuantity={"value": 70}),
    observation("o2", "Patient/ann", "height"),
    observation("o3", "Patient/bob", "pulse", hasMember=[ref("Observation/o1")]),
    observation("o4", "Group/ann", "pulse"),
    observation("o5", "Device/d", "pulse", meta={"tag": [{"system": "urn:t", "code": "x"}]}),
    {
        "resourceType": "Encounter",
        "id": "e",
        "status": "planned",
        "class": {"code": "x"},
        "subject": ref("Patient/ann"),
        "meta": {"tag": [{"system": "urn:t", "code": "x"}]},
    },
    {
        "resourceType": "AuditEvent",
        "id": "a",
        "type": {"code": "x"},
        "recorded": "2020-01-01T00:00:00Z",
        "agent": [{"requestor": True}],
        "source": {"observer": ref("Device/d")},
        "entity": [{"what": ref("Observation/o1")}],
    },
]


@pytest.fixture
async def filled(server: Server) -> Server:
    entries = [
        Entry(
            "PUT", f"{one['resourceType']}/{one['id']}", resource=one, raw=msgspec.json.encode(one)
        )
        for one in RESOURCES
        if one["resourceType"] != "AuditEvent"
    ]
    # An AuditEvent is not put by a client.
    event = next(one for one in RESOURCES if one["resourceType"] == "AuditEvent")
    put = Put("AuditEvent", event["id"], event, msgspec.json.encode(event), fresh=True)
    async with server.database.transaction() as connection:
        await transaction(server, connection, ME, entries)
        await put_many(server, connection, ME, [put])
    return server


def pairs(text: str) -> list[tuple[str, str]]:
    found = [part.partition("=") for part in text.split("&") if part]
    return [(name, value) for name, _, value in found]


async def found(server: Server, path: str, text: str, **more: Any) -> str:
    body = await search(server, ME, path or None, pairs(text), **more)
    bundle = msgspec.json.decode(body)
    matches = [e["resource"] for e in bundle.get("entry", ()) if e["search"]["mode"] == "match"]
    shown = (one["id"] if path else f"{one['resourceType']}/{one['id']}" for one in matches)
    return " ".join(sorted(shown))


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("Observation", "subject:Patient.name=rao", "o1 o2"),
        ("Observation", "patient.name=rao", "o1 o2"),
        ("Observation", "patient.name=rao&code=pulse", "o1"),
        ("Observation", "patient.name=xyz", ""),
        ("Observation", "subject:Patient.gender=male,female", "o1 o2 o3"),
        ("Observation", "patient.gender=male&patient.name=rao", ""),
        ("Observation", "subject:Patient.name:exact=Rao", "o1 o2"),
        ("Observation", "subject:Patient.name:exact=rao", ""),
        ("Observation", "patient.gender:not=female", "o3"),
        ("Observation", "patient.birthdate:missing=true", "o1 o2 o3"),
        ("Observation", "subject:Device.device-name=rao", "o5"),
        ("Observation", "subject:Group.code=rao", "o4"),
        ("Observation", "subject.identifier=7", "o5"),
        ("Observation", "subject.identifier:not=7", "o1 o2 o3 o4"),
        ("Observation", "subject.type:missing=false", "o4"),
        ("Observation", "patient._id=ann", "o1 o2"),
        ("Observation", "patient.organization.name=lake", "o1 o2"),
        ("Observation", "patient.organization.partof.name=hill", "o1 o2"),
        ("Observation", "has-member.patient.name=rao", "o3"),
        ("Observation", "has-member.code-value-quantity=pulse$70", "o3"),
        ("Observation", "patient._lastUpdated=gt2020", "o1 o2 o3"),
        ("Patient", "_has:Observation:patient:code=pulse", "ann bob"),
        ("Patient", "_has:Observation:patient:code=height", "ann"),
        ("Patient", "_has:Observation:patient:code=pulse,height", "ann bob"),
        (
            "Patient",
            "_has:Observation:patient:code=pulse&_has:Observation:patient:code=height",
            "ann",
        ),
        ("Patient", "_has:Observation:patient:code=none", ""),
        ("Patient", "_has:Observation:patient:_has:AuditEvent:entity:type=x", "ann"),
        ("Patient", "_has:Observation:subject:value-quantity=70", "ann"),
        ("Organization", "_has:Patient:organization:name=rao", "lake"),
        ("Organization", "_has:Patient:organization:_has:Observation:patient:code=height", "lake"),
        ("Patient", "_has:Observation:patient:has-member.code=pulse", "bob"),
        ("Patient", "link:Patient.name=rao", "bob"),
    ],
)
async def test_chains(path: str, text: str, expected: str, filled: Server) -> None:
    assert await found(filled, path, text) == expected


@pytest.mark.parametrize(
    ("path", "text", "refusal"),
    [
        ("Observation", "subject:Encounter.status=x", NotSupported),
        ("Observation", "subject.colour=x", BadRequest),
        ("Observation", "code.text=x", BadRequest),
        ("Observation", "colour.text=x", BadRequest),
        ("Observation", "patient.name:above=x", NotSupported),
        ("Observation", "patient.birthdate=x", BadRequest),
        ("Encounter", "part-of.part-of.part-of.part-of.part-of.status=x", BadRequest),
        ("Patient", "_has:Observation:patient=x", BadRequest),
        ("Patient", "_has:Nothing:patient:code=x", BadRequest),
        ("Patient", "_has:Observation:colour:code=x", BadRequest),
        ("Patient", "_has:Observation:code:code=x", BadRequest),
        ("Patient", "_has:Encounter:location:status=x", BadRequest),
        ("Provenance", "target.context=x", BadRequest),
    ],
)
async def test_refused_chains_are_named_as_written(
    path: str, text: str, refusal: type[SangamError], server: Server
) -> None:
    with pytest.raises(refusal) as refused:
        await search(server, ME, path, pairs(text))
    assert refused.value.status == 400
    assert refused.value.issues[0].expression == text.partition("=")[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("_tag=urn:t|x", "Encounter/e Observation/o5"),
        ("_tag=x&_type=Observation", "Observation/o5"),
        ("_type=Group,Device", "Device/d Group/ann"),
        ("_id=ann", "Group/ann Patient/ann"),
        ("_id=ann&_type=Patient,Observation", "Patient/ann"),
        (
            "_type=Observation,Encounter&patient=Patient/ann",
            "Encounter/e Observation/o1 Observation/o2",
        ),
        ("_type=Observation,Encounter&status=planned", "Encounter/e"),
        ("_type=Observation,Encounter&status:not=final", "Encounter/e"),
        ("_type=Patient,Organization&name=lake", "Organization/lake"),
        ("_tag:missing=false", "Encounter/e Observation/o5"),
    ],
)
async def test_search_over_types(text: str, expected: str, filled: Server) -> None:
    assert await found(filled, "", text) == expected


async def test_search_over_all_types_pages_through_everything(filled: Server) -> None:
    seen = []
    asked = [("_count", "3"), ("_sort", "_id")]
    while asked:
        bundle = msgspec.json.decode(await search(filled, ME, None, asked))
        seen += [e["resource"]["id"] for e in bundle["entry"]]
        following = [one["url"] for one in bundle["link"] if one["relation"] == "next"]
        asked = [("_page", one.partition("_page=")[2]) for one in following]
    assert seen == sorted(one["id"] for one in RESOURCES)


@pytest.mark.parametrize(
    "text", ["code=x", "_type=Patient,Nothing", "_type=Patient,Device&gender=male"]
)
async def test_only_shared_parameters_search_several_types(text: str, server: Server) -> None:
    with pytest.raises(BadRequest):
        await search(server, ME, None, pairs(text))


async def test_the_type_of_the_url_cannot_be_overruled(server: Server) -> None:
    with pytest.raises(BadRequest):
        await search(server, ME, "Patient", [("_type", "Observation")])


@pytest.mark.parametrize(
    ("root", "path", "text", "expected"),
    [
        ("Patient/ann", "Observation", "", "o1 o2"),
        ("Patient/ann", "Observation", "code=pulse", "o1"),
        ("Patient/ann", "Patient", "", "ann bob"),
        ("Patient/bob", "Patient", "", "bob"),
        ("Patient/dora", "Observation", "", ""),
        (
            "Patient/ann",
            "",
            "",
            "Encounter/e Observation/o1 Observation/o2 Patient/ann Patient/bob",
        ),
        (
            "Patient/ann",
            "",
            "_type=Encounter,Observation",
            "Encounter/e Observation/o1 Observation/o2",
        ),
        ("Device/d", "Observation", "", "o5"),
        ("Device/d", "Device", "", "d"),
        ("Encounter/e", "Encounter", "", "e"),
    ],
)
async def test_compartments(root: str, path: str, text: str, expected: str, filled: Server) -> None:
    compartment = Compartment(*root.split("/"))
    assert await found(filled, path, text, compartment=compartment) == expected


@pytest.mark.parametrize(
    ("root", "path", "code"),
    [
        ("Patient/ann", "Organization", "not-supported"),
        ("Organization/hill", "Patient", "not-supported"),
        ("Patient/nobody", "Observation", "not-found"),
    ],
)
async def test_what_is_in_no_compartment(root: str, path: str, code: str, filled: Server) -> None:
    with pytest.raises(NotFound) as refused:
        await found(filled, path, "", compartment=Compartment(*root.split("/")))
    assert refused.value.issues[0].code == code
