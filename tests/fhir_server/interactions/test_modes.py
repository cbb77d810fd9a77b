"""How far a resource is judged, by setting, type and door; the status of a refusal."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from fhir_server.api.app import create_app
from fhir_server.caller import trusted
from fhir_server.errors import BadRequest
from fhir_server.interactions.create import create
from fhir_server.interactions.draft import Sent
from fhir_server.r4 import json
from fhir_server.server import Server
from tests.conftest import BASE

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
FINE: Json = {"resourceType": "Basic", "code": {"text": "x"}}
UNSOUND: Json = {**FINE, "nope": 1}
RULELESS: Json = {**FINE, "subject": {"identifier": {"period": {"start": "2002", "end": "2001"}}}}
AIMLESS: Json = {**FINE, "author": {"reference": "Group/g"}}
FORMLESS: Json = {**FINE, "subject": {"reference": "Nope/1"}}
ENDLESS: Json = {**FINE, "subject": {"reference": "Patient/1/2"}}
ODD: list[Json] = [
    {**FINE, "code": 5},
    {**FINE, "created": [[{"x": 1}]]},
    {**FINE, "meta": {"tag": "x"}, "identifier": {"value": {}}},
]


def judging(server: Server, **said: Any) -> Server:
    validation = server.settings.validation.model_copy(update=said)
    return replace(server, settings=server.settings.model_copy(update={"validation": validation}))


async def status(server: Server, body: Json) -> int:
    transport = httpx.ASGITransport(app=create_app(server))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        response = await http.post(f"/{body['resourceType']}", json=body)
    return response.status_code


@pytest.mark.parametrize(
    ("mode", "statuses"),
    [
        ("off", [201, 201, 201, 422, 422]),
        ("structure", [400, 201, 201, 422, 422]),
        ("full", [400, 422, 422, 422, 422]),
    ],
)
async def test_a_mode_judges_so_far(server: Server, mode: str, statuses: list[int]) -> None:
    plain = server.settings.write.model_copy(update={"referential_integrity": False})
    lax = replace(server, settings=server.settings.model_copy(update={"write": plain}))
    judged = judging(lax, mode=mode)
    assert await status(judged, FINE) == 201
    assert [
        await status(judged, one) for one in (UNSOUND, RULELESS, AIMLESS, FORMLESS, ENDLESS)
    ] == statuses


async def test_a_type_and_a_door_have_their_own_modes(server: Server) -> None:
    judged = judging(server, types={"Basic": "off"}, doors={"cli": "off"})
    assert await status(judged, UNSOUND) == 201
    patient = {"resourceType": "Patient", "nope": 1}
    assert await status(judged, patient) == 400
    sent = Sent(json.encode(patient))
    outcome = await create(judged, trusted("loader", "cli"), "Patient", sent)
    assert outcome.status == 201
    with pytest.raises(BadRequest):
        await create(server, trusted("loader", "cli"), "Patient", sent)


async def test_what_the_server_works_by_is_always_of_the_shape_of_r4(server: Server) -> None:
    judged = judging(server, mode="off")
    for name in ("SearchParameter", "ValueSet", "StructureDefinition"):
        assert await status(judged, {"resourceType": name, "nope": 1}) == 400


@pytest.mark.parametrize("body", ODD)
async def test_what_cannot_be_indexed_is_refused_unjudged(server: Server, body: Json) -> None:
    assert await status(judging(server, mode="off"), body) in {201, 400}


async def test_a_profile_is_imposed_on_a_type(server: Server) -> None:
    profile = "http://hl7.org/fhir/StructureDefinition/vitalsigns"
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    assert await status(server, observation) == 201
    assert await status(judging(server, profiles={"Observation": (profile,)}), observation) == 422


async def test_an_unknown_profile_is_an_error_where_that_is_wanted(server: Server) -> None:
    claiming = {**FINE, "meta": {"profile": ["http://none.test/p"]}}
    assert await status(server, claiming) == 201
    assert await status(judging(server, unknown_profiles="error"), claiming) == 422
