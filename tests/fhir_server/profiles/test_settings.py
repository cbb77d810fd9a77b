"""What one server takes and another refuses."""

from typing import Any

import httpx
import pytest

from fhir_server.config import Settings, ValidationSettings

pytestmark = pytest.mark.anyio

STRICT = ValidationSettings(
    unknown_extensions="error", taken_extensions=("http://ours/",), vital_signs=True
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"validation": STRICT})


def extended(url: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "extension": [{"url": url, "valueBoolean": True}]}


def observed(code: str) -> dict[str, Any]:
    coding = {"system": "http://loinc.org", "code": code}
    return {"resourceType": "Observation", "status": "final", "code": {"coding": [coding]}}


async def test_strict_server(client: httpx.AsyncClient) -> None:
    for data, status in (
        (extended("http://nobody/e"), 422),
        (extended("http://ours/e"), 201),
        (observed("8867-4"), 422),
        (observed("1-1"), 201),
    ):
        found = await client.post(f"/{data['resourceType']}", json=data)
        assert found.status_code == status
