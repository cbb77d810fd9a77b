"""A resource judged by profiles beside others."""

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from fhir_server.errors import Issue
from fhir_server.interactions import profiling
from fhir_server.server import Server
from terminology.pausing import MANY

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("names", "beside"), [(10, False), (MANY, True)])
async def test_a_large_resource_is_judged_in_a_thread(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    names: int,
    beside: bool,  # noqa: FBT001
) -> None:
    threads: list[int] = []
    judge = profiling.validate_profiles

    def noting(profiles: Any, data: Mapping[str, Any], *more: Any) -> list[Issue]:
        threads.append(threading.get_ident())
        return judge(profiles, data, *more)

    monkeypatch.setattr(profiling, "validate_profiles", noting)
    profile = "http://hl7.org/fhir/StructureDefinition/bp"
    meta = {"profile": [profile]}
    data = {"resourceType": "Patient", "meta": meta, "name": [{"family": "x"}] * names}
    issues = await profiling.by_profiles(server, data)
    assert [one.code for one in issues] == ["invalid"]
    assert {one != threading.get_ident() for one in threads} == {beside}
