"""Consents when the glass is broken (specification 3.2, 3.5)."""

from dataclasses import replace

import httpx
import pytest
from interactions.searching import observation, patient, put

from fhir_server.access import consent
from fhir_server.rights import Rights

from .restricted import Asking, Json, asking, seen
from .test_break_glass import DOCTOR, be, opened
from .test_consents import DENY, OWN, PERMIT, REASON, actor, consent_of

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

IN_EMERGENCY = {**PERMIT, "purpose": [{"system": REASON, "code": "ETREAT"}]}


def be_doctor(asking: Asking) -> None:
    """Let requests be a doctor's, whom consents concern as they do in a hospital."""
    be(asking)
    rights = asking.caller.rights
    walls = (*rights.walls, consent.wall((DOCTOR,), "TREAT", user=DOCTOR))
    asking.caller = replace(asking.caller, rights=Rights(walls, rights.operator))


async def test_an_open_glass_is_an_emergency_to_consents(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    doctor = {"resourceType": "Practitioner", "id": "doctor"}
    await put(client, doctor, patient("ann"), observation("one", "Patient/ann"))
    be_doctor(asking)
    assert (await opened(client)).status_code == 200
    denied: Json = {**DENY, "actor": [actor(DOCTOR)]}
    found = {}
    for name, provision in {
        "denied": denied,
        "but for emergencies": {**denied, "provision": [IN_EMERGENCY]},
        "not understood": {**PERMIT, "class": [{"system": "urn:other", "code": "x"}]},
    }.items():
        asking.be_all()
        await put(client, consent_of("ann", provision))
        be_doctor(asking)
        found[name] = await seen(client, OWN)
    assert found == {
        "denied": [],
        "but for emergencies": ["Observation/one"],
        "not understood": ["Observation/one"],
    }
