"""Who acts for a patient in the portal (specification 3.3)."""

import httpx
import pytest
from interactions.searching import observation, patient, put, ref

from fhir_server.access import consent
from fhir_server.identity.persons import person
from fhir_server.server import Server

from .restricted import Asking, Json, asking, seen
from .test_consents import CONFIDENTIALITY, DENY, OWN, PERMIT, actor, consent_of, labelled

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

MOTHER: Json = {"resourceType": "RelatedPerson", "id": "mother", "patient": ref("Patient/ann")}
NAMED = {**PERMIT, "actor": [actor("RelatedPerson/mother")]}


async def patients(server: Server) -> tuple[str, ...]:
    async with server.database.connection() as connection:
        return (await person(server, connection, "RelatedPerson/mother")).patients


async def test_proxies_act_while_they_are_related_and_a_consent_names_them(
    client: httpx.AsyncClient, server: Server
) -> None:
    await put(client, patient("ann"), MOTHER)
    found = {"no consent": await patients(server)}
    for name, related, provision in (
        ("named", MOTHER, NAMED),
        ("over", {**MOTHER, "period": {"end": "2020-01-01"}}, NAMED),
        ("not active", {**MOTHER, "active": False}, NAMED),
        ("again", {**MOTHER, "period": {"start": "2020-01-01"}}, NAMED),
        ("denied", MOTHER, {**NAMED, **DENY}),
        ("not named", MOTHER, PERMIT),
    ):
        await put(client, related, consent_of("ann", provision))
        found[name] = await patients(server)
    assert found == {
        "no consent": (),
        "named": ("ann",),
        "over": (),
        "not active": (),
        "again": ("ann",),
        "denied": (),
        "not named": (),
    }


async def test_proxies_see_what_the_consent_permits(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    normal = [{"system": CONFIDENTIALITY, "code": "N"}]
    await put(
        client,
        patient("ann"),
        MOTHER,
        observation("open", "Patient/ann"),
        observation("secret", "Patient/ann", meta=labelled("R")),
    )
    proxy = consent.wall(("RelatedPerson/mother",), "FAMRQT")
    asking.be(proxy)
    assert await seen(client, OWN) == []
    asking.be_all()
    await put(client, consent_of("ann", {**NAMED, "securityLabel": normal}))
    asking.be(proxy)
    assert await seen(client, OWN) == ["Observation/open"]
