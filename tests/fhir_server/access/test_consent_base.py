"""Where no consent decides, the setting does (specification 3.5, 8)."""

from pathlib import Path

import httpx
import pytest
from interactions.searching import observation, patient, put
from pydantic import ValidationError

from fhir_server.access import consent
from fhir_server.config import Limits, Settings
from fhir_server.consent_settings import ConsentSettings, ReleaseSettings
from fhir_server.security_settings import SecuritySettings

from .restricted import Asking, asking, seen, status
from .test_consents import OWN, PERMIT, actor, consent_of

pytestmark = pytest.mark.anyio
__all__ = ["asking"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings by which consent has to be given, over a fresh data directory."""
    return Settings(
        demo=True,
        data_dir=tmp_path / "data",
        limits=Limits(client_requests=10_000, requests=10_000, writes=10_000),
        security=SecuritySettings(consent=ConsentSettings(base="deny")),
    )


async def test_with_deny_a_consent_has_to_permit_and_can_be_given(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    doctor = {"resourceType": "Practitioner", "id": "dr"}
    await put(client, doctor, patient("ann"), patient("bob"), observation("one", "Patient/ann"))
    asking.be(consent.wall(("Practitioner/dr",), "TREAT"))
    assert await status(client, "/Patient/ann") == 404
    assert await seen(client, OWN) == []
    # What is of no patient's record needs none.
    assert await status(client, "/Practitioner/dr") == 200
    made = await client.post("/Patient", json={"resourceType": "Patient"})
    assert made.status_code == 201
    asking.be_all()
    await put(client, consent_of("ann", {**PERMIT, "actor": [actor("Practitioner/dr")]}))
    asking.be(consent.wall(("Practitioner/dr",), "TREAT"))
    assert await seen(client, OWN) == ["Observation/one"]
    assert await seen(client, "/Patient") == ["Patient/ann"]


def test_a_time_to_wait_is_for_a_kind_that_is_said() -> None:
    with pytest.raises(ValidationError, match="does not say what psychology is"):
        ReleaseSettings(hold_hours={"psychology": 72})
