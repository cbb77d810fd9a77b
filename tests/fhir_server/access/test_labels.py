"""Labels and what patients see (specification 3.3, 3.4, acceptance 10)."""

from pathlib import Path

import httpx
import pytest
from interactions.searching import observation, patient, put, ref

from fhir_server.access import labels
from fhir_server.access.label_codes import ACT_CODE, CONFIDENTIALITY, OURS, RELEASED
from fhir_server.config import Limits, Settings
from fhir_server.consent_settings import LabelRule, LabelSettings
from fhir_server.rights import ANY, Grant, Inside, Released
from fhir_server.security_settings import SecuritySettings
from fhir_server.server import Server

from .restricted import Asking, Json, asking, seen, status

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
SECRETS = "http://example.org/ValueSet/secrets"
UNKNOWN = "http://example.org/ValueSet/nowhere"
LOINC = "http://loinc.org"
PORTAL = (Grant(ANY, "rs", (Inside("Patient", "ann"), Released())),)
OWN = "/Observation?subject=Patient/ann&_sort=_id"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a labelling rule, over a fresh data directory."""
    rules = (
        LabelRule(
            value_set=SECRETS,
            labels=(f"{CONFIDENTIALITY}|R", f"{ACT_CODE}|HIV"),
            types=("Procedure",),
        ),
        LabelRule(value_set=UNKNOWN, labels=(f"{CONFIDENTIALITY}|V",), types=("Condition",)),
    )
    return Settings(
        demo=True,
        data_dir=tmp_path / "data",
        limits=Limits(client_requests=10_000, requests=10_000, writes=10_000),
        security=SecuritySettings(labels=LabelSettings(rules=rules)),
    )


def labelled(*codings: tuple[str, str], tag: tuple[tuple[str, str], ...] = ()) -> Json:
    named = {"security": codings, "tag": tag}
    return {
        member: [{"system": system, "code": code} for system, code in found]
        for member, found in named.items()
        if found
    }


def result(id_: str, category: str | None = "laboratory", **more: object) -> Json:
    found = [{"coding": [{"system": CATEGORY, "code": category}]}]
    return {
        **observation(id_, "Patient/ann"),
        **({"category": found} if category else {}),
        **more,
    }


VERY, RESTRICTED, HIV = (CONFIDENTIALITY, "V"), (CONFIDENTIALITY, "R"), (ACT_CODE, "HIV")
TAG = (OURS, RELEASED)


async def test_only_what_is_within_the_clearance_is_there(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await put(
        client,
        patient("ann"),
        result("hiv", meta=labelled(HIV)),
        result("low", meta=labelled((CONFIDENTIALITY, "L"))),
        result("none"),
        result("nowhere", meta=labelled((CONFIDENTIALITY, "X"))),
        result("old-name", meta=labelled(("http://hl7.org/fhir/v3/Confidentiality", "R"))),
        result("restricted", meta=labelled(RESTRICTED)),
        result("very", meta=labelled(VERY, (CONFIDENTIALITY, "N"))),
    )
    found = {}
    for level, sensitivities in (
        ("L", ()),
        ("N", ()),
        ("N", ("HIV",)),
        ("R", ()),
        ("V", (ANY,)),
        ("?", (ANY,)),
    ):
        asking.be(labels.wall(level, sensitivities))
        found[level, sensitivities] = [one.partition("/")[2] for one in await seen(client, OWN)]
        assert await status(client, "/Observation/very") == (200 if level == "V" else 404)
    assert found == {
        ("L", ()): ["low"],
        ("N", ()): ["low", "none"],
        ("N", ("HIV",)): ["hiv", "low", "none"],
        ("R", ()): ["low", "none", "old-name", "restricted"],
        ("V", (ANY,)): ["hiv", "low", "none", "old-name", "restricted", "very"],
        ("?", (ANY,)): [],
    }
    counted = await client.get("/Observation?_summary=count")
    assert counted.json()["total"] == 0


async def test_labels_may_be_raised_and_are_lowered_by_who_may(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await put(client, patient("ann"), result("one", meta=labelled(RESTRICTED, HIV)))
    wall = labels.wall("R", (ANY,))
    answers = []
    for operator, meta in (
        (frozenset[str](), labelled(HIV)),
        (frozenset[str](), labelled(RESTRICTED)),
        (frozenset[str](), labelled(RESTRICTED, HIV, tag=(TAG,))),
        (frozenset[str](), labelled(RESTRICTED, HIV, (ACT_CODE, "PSY"))),
        (frozenset({"release"}), labelled(RESTRICTED, HIV, (ACT_CODE, "PSY"), tag=(TAG,))),
        # Who leaves a tag as it is releases nothing.
        (
            frozenset[str](),
            labelled(RESTRICTED, HIV, (ACT_CODE, "PSY"), (ACT_CODE, "STD"), tag=(TAG,)),
        ),
        (frozenset({"release"}), labelled((CONFIDENTIALITY, "N"))),
        (frozenset({"labels"}), labelled((CONFIDENTIALITY, "N"))),
        # Above the own clearance: it is not seen again.
        (frozenset[str](), labelled(VERY)),
        (frozenset({"labels"}), labelled((CONFIDENTIALITY, "N"))),
    ):
        asking.be(wall, operator=operator)
        sent = await client.put("/Observation/one", json=result("one", meta=meta))
        answers.append(sent.status_code)
    assert answers == [403, 403, 403, 200, 200, 200, 403, 200, 200, 403]


async def test_labels_that_an_update_does_not_name_go_on_hiding(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await put(client, patient("ann"), result("one", meta=labelled(VERY)))
    await put(client, result("one", valueString="changed"))
    asking.be(labels.wall("R", ()))
    assert await seen(client, OWN) == []


async def test_rules_label_what_has_codes_of_a_value_set(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    value_set = {
        "resourceType": "ValueSet",
        "id": "secrets",
        "url": SECRETS,
        "status": "active",
        "compose": {"include": [{"system": LOINC, "concept": [{"code": "7917-8"}]}]},
    }
    coded = {"coding": [{"system": LOINC, "code": "7917-8"}]}
    other = {
        "resourceType": "Procedure",
        "id": "other",
        "status": "completed",
        "subject": ref("Patient/ann"),
    }
    told = {**other, "id": "told", "code": coded, "meta": labelled((ACT_CODE, "STD"))}
    await put(client, value_set, patient("ann"), other, told)
    made = await client.post("/Procedure", json={**other, "reasonCode": [coded]})
    stored = (await client.get("/Procedure/told")).json()["meta"]["security"]
    assert [one["code"] for one in stored] == ["STD", "R", "HIV"]
    assert [one["code"] for one in made.json()["meta"]["security"]] == ["R", "HIV"]
    asking.be(labels.wall("R", ("STD",)))
    assert await seen(client, "/Procedure") == ["Procedure/other"]
    # Again as the client has it: nothing changes.
    asking.be_all()
    assert (await client.put("/Procedure/told", json=told)).headers["ETag"] == 'W/"1"'
    problem = {
        "resourceType": "Condition",
        "subject": ref("Patient/ann"),
        "code": {"coding": [{"system": LOINC, "code": "7917-8"}]},
    }
    refused = await client.post("/Condition", json=problem)
    assert refused.status_code == 503
    assert await seen(client, "/Condition") == []


async def test_patients_see_what_is_released(client: httpx.AsyncClient, asking: Asking) -> None:
    study = {"resourceType": "ImagingStudy", "id": "s", "subject": ref("Patient/ann")}
    await put(
        client,
        patient("ann", meta=labelled(VERY)),
        patient("bob"),
        result("amended", status="amended"),
        result("cancelled", status="cancelled"),
        result("error", status="entered-in-error"),
        result("final"),
        result("freed", meta=labelled(HIV, tag=(TAG,))),
        result("image", "imaging"),
        result("preliminary", status="preliminary"),
        result("secret", meta=labelled(HIV)),
        result("uncategorised", None),
        {**result("bobs"), "subject": ref("Patient/bob")},
        {**study, "status": "available"},
        *(
            {
                "resourceType": "DocumentReference",
                "id": status,
                "status": "current",
                "docStatus": status,
                "subject": ref("Patient/ann"),
                "content": [{"attachment": {"title": "letter"}}],
            }
            for status in ("final", "preliminary")
        ),
    )
    asking.be(PORTAL)
    known = ["amended", "final", "freed"]
    assert await seen(client, OWN) == [f"Observation/{one}" for one in known]
    assert await seen(client, "/ImagingStudy") == []
    assert await seen(client, "/DocumentReference") == ["DocumentReference/final"]
    assert (await client.get("/Observation?_summary=count")).json()["total"] == len(known)
    everything = await seen(client, "/Patient?_id=ann&_revinclude=Observation:subject")
    assert everything == [*(f"Observation/{one}" for one in known), "Patient/ann"]
    hidden = ("cancelled", "error", "image", "preliminary", "secret", "uncategorised", "bobs")
    assert {await status(client, f"/Observation/{one}") for one in hidden} == {404}
    assert await seen(client, "/Patient?_has:Observation:subject:status=preliminary") == []
    # The next version is what a clinician finalised and released.
    asking.be_all()
    await put(
        client,
        result("preliminary", status="final"),
        result("secret", meta=labelled(HIV, tag=(TAG,))),
    )
    asking.be(PORTAL)
    assert [await status(client, f"/Observation/{one}") for one in ("preliminary", "secret")] == [
        200,
        200,
    ]


async def test_held_results_are_seen_when_the_time_is_over(
    client: httpx.AsyncClient, asking: Asking, server: Server
) -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "PAT"}]}
        ],
        "code": {"text": "biopsy"},
        "subject": ref("Patient/ann"),
        "issued": "2001-01-01T00:00:00Z",
    }
    await put(client, patient("ann"), report, result("image", "imaging"))
    asking.be(PORTAL)
    assert await seen(client, "/?_type=DiagnosticReport,Observation") == []
    for hours, expected in ((71, []), (2, ["DiagnosticReport/r", "Observation/image"])):
        async with server.database.connection() as connection:
            for table in ("terms", "resource"):
                await connection.execute(
                    f"UPDATE {table} SET last_updated = last_updated - %s * interval '1 hour'",
                    (hours,),
                )
        assert await seen(client, "/?_type=DiagnosticReport,Observation") == expected
