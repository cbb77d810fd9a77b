"""Consents of patients, enforced (specification 3.5, acceptance 11)."""

import re
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
from interactions.searching import observation, patient, put, ref

from fhir_server.access import consent
from fhir_server.interactions import consents
from fhir_server.r4 import json
from fhir_server.security_settings import SecuritySettings
from fhir_server.server import Server

from .restricted import Asking, Json, asking, seen, status

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
LOINC = "http://loinc.org"
OWN = "/Observation?subject=Patient/ann&_sort=_id"


def consent_of(patient_id: str, provision: Json | None, **more: Any) -> Json:
    return {
        "resourceType": "Consent",
        "id": "c",
        "status": "active",
        "scope": {"coding": [{"system": SCOPE, "code": "patient-privacy"}]},
        "category": [{"text": "privacy"}],
        "patient": ref(f"Patient/{patient_id}"),
        "policy": [{"uri": "http://example.org/policy"}],
        **({"provision": provision} if provision is not None else {}),
        **more,
    }


def actor(place: str) -> Json:
    return {"role": {"text": "recipient"}, "reference": ref(place)}


def labelled(*codes: str) -> Json:
    return {"security": [{"system": CONFIDENTIALITY, "code": code} for code in codes]}


RECORD = [
    patient("ann"),
    patient("bob"),
    {"resourceType": "Practitioner", "id": "dr"},
    {"resourceType": "Practitioner", "id": "other"},
    {"resourceType": "Organization", "id": "house", "name": "House"},
    {
        "resourceType": "Organization",
        "id": "ward",
        "name": "Ward",
        "partOf": ref("Organization/house"),
    },
    {
        "resourceType": "PractitionerRole",
        "id": "role",
        "practitioner": ref("Practitioner/dr"),
        "organization": ref("Organization/ward"),
    },
    {
        "resourceType": "Group",
        "id": "group",
        "type": "practitioner",
        "actual": True,
        "member": [{"entity": ref("Practitioner/dr")}],
    },
    {
        "resourceType": "CareTeam",
        "id": "team",
        "status": "active",
        "participant": [{"member": ref("Practitioner/dr")}],
    },
    {
        "resourceType": "CareTeam",
        "id": "former",
        "status": "inactive",
        "participant": [{"member": ref("Practitioner/dr")}],
    },
    observation("old", "Patient/ann", effectiveDateTime="2010-05-01"),
    {
        **observation("new", "Patient/ann", effectiveDateTime="2024-05-01"),
        "code": {"coding": [{"system": LOINC, "code": "1-8"}]},
    },
    observation("secret", "Patient/ann", effectiveDateTime="2024-06-01", meta=labelled("R")),
    observation(
        "undated",
        "Patient/ann",
        hasMember=[ref("Observation/new")],
        performer=[ref("Practitioner/dr")],
    ),
    observation("bobs", "Patient/bob"),
]

ALL = ["new", "old", "secret", "undated"]
DENY = {"type": "deny"}
PERMIT = {"type": "permit"}


def resource_type(code: str) -> Json:
    return {"system": "http://hl7.org/fhir/resource-types", "code": code}


TABLE: list[tuple[str, Json, str, list[str]]] = [
    ("all", DENY, "TREAT", []),
    ("none", PERMIT, "TREAT", ALL),
    ("another actor", {**DENY, "actor": [actor("Practitioner/other")]}, "TREAT", ALL),
    ("the actor", {**DENY, "actor": [actor("Practitioner/dr")]}, "TREAT", []),
    ("a group of the actor", {**DENY, "actor": [actor("Group/group")]}, "TREAT", []),
    ("a team of the actor", {**DENY, "actor": [actor("CareTeam/team")]}, "TREAT", []),
    ("a former team", {**DENY, "actor": [actor("CareTeam/former")]}, "TREAT", ALL),
    (
        "the house of the actor's ward",
        {**DENY, "actor": [actor("Organization/house")]},
        "TREAT",
        [],
    ),
    ("access", {**DENY, "action": [{"coding": [{"code": "access"}]}]}, "TREAT", []),
    ("disclosing", {**DENY, "action": [{"coding": [{"code": "disclose"}]}]}, "TREAT", ALL),
    ("a purpose", {**DENY, "purpose": [{"system": REASON, "code": "HPAYMT"}]}, "TREAT", ALL),
    ("the purpose", {**DENY, "purpose": [{"system": REASON, "code": "HPAYMT"}]}, "HPAYMT", []),
    ("broader", {**DENY, "purpose": [{"system": REASON, "code": "TREAT"}]}, "ETREAT", []),
    ("the type", {**DENY, "class": [resource_type("Observation")]}, "TREAT", []),
    ("another type", {**DENY, "class": [resource_type("Condition")]}, "TREAT", ALL),
    (
        "a code",
        {**DENY, "code": [{"coding": [{"system": LOINC, "code": "1-8"}]}]},
        "TREAT",
        ["old", "secret", "undated"],
    ),
    (
        "a label",
        {**DENY, "securityLabel": [{"system": CONFIDENTIALITY, "code": "R"}]},
        "TREAT",
        ["new", "old", "undated"],
    ),
    (
        "a period of the data",
        {**DENY, "dataPeriod": {"start": "2010-01-01", "end": "2010-12-31"}},
        "TREAT",
        ["new", "secret"],
    ),
    (
        "an instance",
        {**DENY, "data": [{"meaning": "instance", "reference": ref("Observation/new")}]},
        "TREAT",
        ["old", "secret", "undated"],
    ),
    (
        "what it refers to",
        {**DENY, "data": [{"meaning": "related", "reference": ref("Observation/undated")}]},
        "TREAT",
        ["old", "secret"],
    ),
    (
        "what refers to it",
        {**DENY, "data": [{"meaning": "dependents", "reference": ref("Observation/new")}]},
        "TREAT",
        ["old", "secret"],
    ),
    (
        "an author",
        {**DENY, "data": [{"meaning": "authoredby", "reference": ref("Practitioner/dr")}]},
        "TREAT",
        ["new", "old", "secret"],
    ),
    ("a period that is over", {**DENY, "period": {"end": "2020-01-01"}}, "TREAT", ALL),
    (
        "nested exceptions",
        {
            **DENY,
            "provision": [
                {
                    **PERMIT,
                    "actor": [actor("CareTeam/team")],
                    "provision": [
                        {**DENY, "securityLabel": [{"system": CONFIDENTIALITY, "code": "R"}]}
                    ],
                }
            ],
        },
        "TREAT",
        ["new", "old", "undated"],
    ),
    (
        "an exception whose parent does not match",
        {
            "actor": [actor("Practitioner/other")],
            "provision": [{**DENY, "class": [resource_type("Observation")]}],
        },
        "TREAT",
        ALL,
    ),
    (
        "exceptions as deep as one another",
        {"provision": [{**PERMIT}, {**DENY, "dataPeriod": {"end": "2012"}}]},
        "TREAT",
        ["new", "secret"],
    ),
    (
        "an exception that is over",
        {**DENY, "provision": [{**PERMIT, "period": {"end": "2020"}}]},
        "TREAT",
        [],
    ),
]


async def test_provisions_decide_on_what_meets_all_their_parts_from_the_next_request_on(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await put(client, *RECORD)
    found = {}
    for name, provision, purpose, _ in TABLE:
        asking.be_all()
        await put(client, consent_of("ann", provision))
        asking.be(consent.wall(("Practitioner/dr", "PractitionerRole/role"), purpose))
        found[name] = [one.removeprefix("Observation/") for one in await seen(client, OWN)]
        assert await seen(client, "/Observation?subject=Patient/bob") == ["Observation/bobs"]
    assert found == {name: left for name, _, _, left in TABLE}


async def test_what_is_not_understood_keeps_all_but_alerts_outside_of_emergencies(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    flag = {
        "resourceType": "Flag",
        "id": "f",
        "status": "active",
        "code": {"text": "falls"},
        "subject": ref("Patient/ann"),
    }
    await put(client, *RECORD[:4], flag, observation("one", "Patient/ann"))
    unread = {
        "a class of another kind": {**PERMIT, "class": [{"system": "urn:other", "code": "x"}]},
        "an actor by identifier": {
            **PERMIT,
            "actor": [{"role": {"text": "r"}, "reference": {"identifier": {"value": "1"}}}],
        },
        "an exception of no type": {**PERMIT, "provision": [{"class": [resource_type("Flag")]}]},
        "too deep": _nested(7),
        "nothing": None,
    }
    for name, provision in unread.items():
        asking.be_all()
        await put(client, consent_of("ann", provision))
        asking.be(consent.wall(("Practitioner/dr",), "TREAT"))
        treating = [await status(client, f"/{one}") for one in ("Observation/one", "Flag/f")]
        assert (name, treating) == (name, [404, 200])
        assert await status(client, "/Patient/ann") == 404
        asking.be(consent.wall(("Practitioner/dr",), "ETREAT"))
        assert await seen(client, OWN) == ["Observation/one"]


def _nested(levels: int) -> Json:
    return {**PERMIT, **({"provision": [_nested(levels - 1)]} if levels > 1 else {})}


async def test_effect_is_that_of_the_next_request(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    by_dr = consent.wall(("Practitioner/dr",), "TREAT")
    await put(client, *RECORD)
    opted_out = {"policyRule": {"coding": [{"code": "OPTOUT"}]}}
    denial = {**DENY, "actor": [actor("Group/group")]}
    group = next(one for one in RECORD if one["id"] == "group")
    seen_by_dr = []
    for change in (
        consent_of("ann", denial),
        {**group, "member": [{"entity": ref("Practitioner/other")}]},
        group,
        consent_of("ann", denial, status="inactive"),
        consent_of("ann", None, **opted_out),
        consent_of("ann", {"provision": [PERMIT]}, **opted_out),
        consent_of("ann", DENY, scope={"coding": [{"system": SCOPE, "code": "research"}]}),
        consent_of("ann", {**DENY, "period": {"end": "2020-01-01"}}),
        consent_of("ann", DENY),
        consent_of("bob", DENY),
    ):
        asking.be_all()
        await put(client, change)
        asking.be(by_dr)
        seen_by_dr.append(len(await seen(client, OWN)))
    assert seen_by_dr == [0, 4, 0, 4, 0, 4, 4, 4, 0, 4]
    asking.be_all()
    await put(client, consent_of("ann", DENY), {**consent_of("ann", PERMIT), "id": "other"})
    asking.be(by_dr)
    assert await seen(client, OWN) == []
    asking.be_all()
    assert (await client.delete("/Consent/c")).status_code == 204
    asking.be(by_dr)
    assert len(await seen(client, OWN)) == 4


async def test_what_is_kept_is_absent_from_every_answer(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await put(client, *RECORD)
    await put(client, consent_of("ann", {**DENY, "actor": [actor("Practitioner/dr")]}))
    asking.be(consent.wall(("Practitioner/dr",), "TREAT"))
    statuses = [
        await status(client, f"/{place}")
        for place in ("Patient/ann", "Patient/no", "Observation/new", "Observation/new/_history/1")
    ]
    assert statuses == [404, 404, 404, 404]
    counted = await client.get("/Observation?_summary=count")
    assert counted.json()["total"] == 1
    assert await seen(client, "/Patient?_has:Observation:subject:code=1-8") == []
    assert await seen(client, "/Observation?subject:Patient._id=ann") == []
    assert await seen(client, "/Patient?_revinclude=Observation:subject&_id=ann,bob") == [
        "Observation/bobs",
        "Patient/bob",
    ]
    # The patient's own record stays the patient's.
    asking.be(consent.wall(("Patient/ann",), "PATRQT"))
    assert len(await seen(client, OWN)) == 4


async def test_research_and_disclosure_need_a_permission(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await put(client, *RECORD)
    callers = {
        "treating": consent.wall(("Organization/house",), "TREAT"),
        "research": consent.wall(("Organization/house",), "HRESCH"),
        "disclosing": consent.wall(("Organization/house",), "TREAT", disclosing=True),
    }
    found = {}
    provisions: dict[str, Json] = {
        "none": {**PERMIT, "class": [resource_type("Condition")]},
        "to disclose": {**PERMIT, "action": [{"coding": [{"code": "disclose"}]}]},
        "for research": {
            **PERMIT,
            "purpose": [{"system": REASON, "code": "HRESCH"}],
            "dataPeriod": {"start": "2024"},
            "securityLabel": [{"system": CONFIDENTIALITY, "code": "N"}],
        },
    }
    for name, provision in provisions.items():
        asking.be_all()
        await put(client, consent_of("ann", provision))
        for caller, wall in callers.items():
            asking.be(wall)
            found[name, caller] = [one.partition("/")[2] for one in await seen(client, OWN)]
    assert found == {
        **{("none", caller): [] for caller in callers},
        **{("to disclose", caller): ALL for caller in callers},
        **{("for research", caller): [] for caller in callers},
        **{(name, "treating"): ALL for name in ("none", "to disclose", "for research")},
        ("to disclose", "research"): [],
        ("for research", "research"): ["new"],
    }


async def test_consents_without_rows_are_read_anew(
    client: httpx.AsyncClient, asking: Asking, server: Server
) -> None:
    await put(client, *RECORD, consent_of("ann", DENY), {**consent_of("bob", DENY), "id": "d"})
    async with server.database.connection() as connection:
        for table in ("consent", "consent_node", "consent_part"):
            await connection.execute(f"DELETE FROM {table}")
    asking.be(consent.wall(("Practitioner/dr",), "TREAT"))
    assert len(await seen(client, OWN)) == len(ALL)
    assert await consents.rebuild(server) == 2
    assert await seen(client, "/Observation") == []


async def test_the_documented_consent_and_rule_mean_what_is_said(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "security-consent.md").read_text()
    toml, told = re.findall(r"```(?:toml|json)\n(.*?)```", page, re.DOTALL)
    rules = SecuritySettings.model_validate(tomllib.loads(toml)["security"]).labels.rules
    assert [rule.types for rule in rules] == [("Observation", "DiagnosticReport")]
    await put(client, *RECORD, {**json.decode(told.encode()), "id": "told"})
    left = {}
    for who in ("PractitionerRole/role", "Practitioner/other"):
        for purpose in ("TREAT", "ETREAT"):
            asking.be(consent.wall((who,), purpose))
            left[who, purpose] = len(await seen(client, OWN))
    assert left == {
        ("PractitionerRole/role", "TREAT"): 1,
        ("PractitionerRole/role", "ETREAT"): 4,
        ("Practitioner/other", "TREAT"): 4,
        ("Practitioner/other", "ETREAT"): 4,
    }
