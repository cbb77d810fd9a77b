"""Agreements are looked at by one, and whoever comes meanwhile waits for what he finds."""

import asyncio
import threading
from pathlib import Path

import pytest

from adapters.hl7.profiles.agreements import Agreements
from adapters.hl7.profiles.directory import Directory
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7

pytestmark = pytest.mark.anyio


async def test_nobody_goes_by_profiles_that_are_still_being_read(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab.toml").write_text("version = '1'\n")
    gate, read = threading.Event(), Directory.scan

    def held_up(directory: Directory) -> frozenset[str]:
        if not gate.wait(10):
            raise TimeoutError
        return read(directory)

    monkeypatch.setattr(Directory, "scan", held_up)
    agreed = Agreements(with_hl7(server, profiles_dir=str(tmp_path)))
    looks = [asyncio.create_task(agreed.refresh()) for _ in range(2)]
    await asyncio.sleep(0)
    assert [look.done() for look in looks] == [False, False]
    gate.set()
    await looks[1]
    assert list(agreed.profiles.by_sender) == ["lab"]
    await looks[0]
