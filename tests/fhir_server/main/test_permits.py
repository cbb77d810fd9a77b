"""What threads of DICOM are told of disclosures: nothing that nobody could decide."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.dicom.studies import disclosing
from fhir_server.main.permits import permits
from fhir_server.server import Server
from fhir_server.tenancy.handles import Register
from fhir_server.tenancy.tenant import Tenant

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def never(_: Tenant) -> AsyncIterator[Server]:
    raise AssertionError("There is no tenant to be opened")
    yield


async def test_a_thread_is_told_what_is_permitted_and_of_no_other_tenant(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def permitted(of: Server, organization: str, studies: set[str]) -> set[str]:
        if organization != "Organization/there":
            raise OSError("The database is away")
        assert of is server
        return studies & {"1.1"}

    monkeypatch.setattr(disclosing, "permitted", permitted)
    ask = permits(server, Register(server.database, 1.0), never)
    asked = [
        ("", "Organization/there"),
        ("", "Organization/elsewhere"),
        ("nowhere", "Organization/there"),
    ]
    found = [await asyncio.to_thread(ask, *one, {"1.1", "1.2"}) for one in asked]
    assert found == [{"1.1"}, (), ()]
    told = [one.getMessage().rpartition(": ")[2] for one in caplog.records]
    assert told == ["OSError", "NotFound"]
