"""What is looked at for each resource is what searches find by it (docs/decisions/0057)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from interactions.searching import observation, patient, ref

from fhir_server.access.compiling import compiled
from fhir_server.database import Connection
from fhir_server.rights import Consented, Having, Limit, Related
from fhir_server.search.compile import Statement
from fhir_server.search.condition import Condition, Looked
from fhir_server.search.each import looked
from fhir_server.search.shape import conditions_shape
from fhir_server.search.sql import TERMS, Binds, conjunction, render
from fhir_server.server import Server
from fhir_server.store.find import rows

pytestmark = pytest.mark.anyio
Json = dict[str, Any]

DOCTOR = "Practitioner/doctor"
ACTORS = (DOCTOR, "PractitionerRole/role", 'Practitioner/"quoted\\')
PRIVACY = "http://terminology.hl7.org/CodeSystem/consentscope"
DENY = {"type": "deny"}
PERMIT = {"type": "permit"}


def day(offset: int) -> str:
    return (datetime.now(UTC) + timedelta(days=offset)).strftime("%Y-%m-%dT%H:%M:%SZ")


def visit(number: int, state: str, **more: Any) -> Json:
    return {
        "resourceType": "Encounter",
        "id": f"e{number}",
        "status": state,
        "class": {"code": "AMB"},
        "subject": ref(f"Patient/{number}"),
        "participant": [{"individual": ref(DOCTOR)}],
        **more,
    }


def agreed(number: int, provision: Json, **more: Any) -> Json:
    return {
        "resourceType": "Consent",
        "id": f"c{number}",
        "status": "active",
        "scope": {"coding": [{"system": PRIVACY, "code": "patient-privacy"}]},
        "category": [{"text": "privacy"}],
        "patient": ref(f"Patient/{number}"),
        "policyRule": {"text": "as agreed"},
        "provision": provision,
        **more,
    }


NAMED = [{"role": {"text": "whom it names"}, "reference": ref(DOCTOR)}]
SOMEBODY = [{"role": {"text": "nobody knows"}, "reference": {"display": "somebody"}}]
RECORDS: dict[int, list[Json]] = {
    1: [visit(1, "in-progress"), agreed(1, PERMIT)],
    2: [visit(2, "finished", period={"end": day(-29)}), agreed(2, DENY)],
    3: [visit(3, "finished", period={"end": day(-31)}), agreed(3, {**DENY, "actor": NAMED})],
    4: [visit(4, "cancelled"), agreed(4, {**PERMIT, "provision": [{**DENY, "actor": NAMED}]})],
    5: [visit(5, "planned"), agreed(5, {**DENY, "actor": SOMEBODY})],
    6: [visit(6, "arrived"), agreed(6, {**DENY, "period": {"end": day(-1)}})],
    7: [],
}


async def met(
    connection: Connection, condition: Condition, *, planned_once: bool = False
) -> list[int]:
    """The keys of what meets a condition, sorted."""
    values: list[Any] = []
    shape, binds = conditions_shape([condition], values), Binds(planned_once=planned_once)
    sql, order = render(
        TERMS.select().with_only_columns(TERMS.c.key).where(*conjunction(shape, binds)), binds
    )
    found = await rows(connection, Statement(sql, tuple(values[place] for place in order)))
    return sorted(key for (key,) in found)


async def test_looking_at_each_resource_tells_what_a_search_by_rights_finds(
    client: httpx.AsyncClient, server: Server
) -> None:
    stored = [{"resourceType": "Practitioner", "id": "doctor"}]
    for number, more in RECORDS.items():
        of = f"Patient/{number}"
        stored += [patient(str(number)), observation(f"o{number}", of), *more]
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in stored
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = await client.post("/", json=bundle)
    assert answer.status_code == 200, answer.text
    conditions = {
        (limit, name): compiled(server, limit, name)
        for name in ("Patient", "Observation")
        for limit in (*LIMITS, *CONSENTED)
    }
    async with server.database.connection() as connection:
        told = {}
        for asked, condition in conditions.items():
            each = looked(condition)
            assert isinstance(each, Looked)
            told[asked] = await met(connection, each)
            assert told[asked] == await met(connection, condition), asked
            assert told[asked] == await met(connection, each, planned_once=True), asked
    known = {limit: len(found) for (limit, name), found in told.items() if name == "Patient"}
    assert known[Related(ACTORS)] == 4
    assert [len(told[LYING, name]) for name in ("Patient", "Observation")] == [2, 2]
    assert known[Related(("Practitioner/other",))] == 0
    everything = len(stored)
    withheld = {limit.purpose: everything - len(told[limit, "Patient"]) for limit in CONSENTED}
    assert withheld == {"TREAT": 4, "ETREAT": 3}


CONSENTED = (Consented(ACTORS, "TREAT"), Consented(ACTORS, "ETREAT"))
LYING = Having("Encounter", (("status", "in-progress,arrived"),))
LIMITS: tuple[Limit, ...] = (
    Related(ACTORS),
    Related(("Practitioner/other",)),
    Consented(ACTORS, "TREAT", "disclose"),
    LYING,
)
