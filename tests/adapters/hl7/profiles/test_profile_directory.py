"""Profiles taken up while the server runs."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from adapters.hl7.profiles import agreements as kept
from adapters.hl7.profiles.agreements import Agreements, agreements
from adapters.hl7.profiles.directory import Directory
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7

GOOD = "version='1'\n[match]\napplications=['LIS']\n"


def put(folder: Path, name: str, text: str) -> None:
    """Write a file as an editor does: whole, under its name."""
    (folder / f"{name}.new").write_text(text)
    os.replace(folder / f"{name}.new", folder / f"{name}.toml")  # noqa: PTH105


def serving(directory: Directory) -> dict[str, str]:
    return {s: one.profile.version for s, one in directory.profiles.by_sender.items()}


def test_changed_file_is_taken_up_and_a_removed_one_goes(tmp_path: Path) -> None:
    put(tmp_path, "a", GOOD)
    directory = Directory(str(tmp_path))
    assert directory.scan() == {"a"}
    assert directory.scan() == frozenset()
    put(tmp_path, "a", GOOD.replace("'1'", "'2'"))
    put(tmp_path, "b", "version='1'")
    assert directory.scan() == {"a", "b"}
    assert serving(directory) == {"a": "2", "b": "1"}
    (tmp_path / "a.toml").unlink()
    assert directory.scan() == {"a"}
    assert serving(directory) == {"b": "1"}


def test_broken_version_leaves_the_one_before_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "a", GOOD)
    directory = Directory(str(tmp_path))
    directory.scan()
    put(tmp_path, "a", "version=")
    with caplog.at_level(logging.ERROR):
        assert directory.scan() == {"a"}
    assert serving(directory) == {"a": "1"}
    assert [p.file for p in directory.profiles.problems] == ["a.toml"]
    assert "a.toml: this is no TOML" in caplog.text
    assert "serves on" in caplog.text
    put(tmp_path, "a", GOOD.replace("'1'", "'3'"))
    directory.scan()
    assert (serving(directory), directory.profiles.problems) == ({"a": "3"}, ())


def test_directory_that_is_away_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    put(folder, "a", GOOD)
    directory = Directory(str(folder))
    directory.scan()
    folder.rename(tmp_path / "away")
    assert directory.scan() == frozenset()
    assert serving(directory) == {"a": "1"}


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at every call."""
    monkeypatch.setattr(kept, "_LOOK_SECONDS", 0.0)


async def rows(server: Server, query: str) -> list[tuple[Any, ...]]:
    async with server.database.connection() as connection:
        return await (await connection.execute(query)).fetchall()


@pytest.mark.anyio
@pytest.mark.usefixtures("always")
async def test_each_version_that_served_is_kept(server: Server, tmp_path: Path) -> None:
    put(tmp_path, "a", GOOD)
    agreed = Agreements(with_hl7(server, profiles_dir=str(tmp_path)))
    await agreed.refresh()
    put(tmp_path, "a", GOOD.replace("'1'", "'2'"))
    await agreed.refresh()
    put(tmp_path, "a", "version=")
    await agreed.refresh()
    served = await rows(server, "SELECT version, content FROM hl7_profile ORDER BY version")
    assert served == [("1", GOOD), ("2", GOOD.replace("'1'", "'2'"))]
    ((name, fingerprint, problems),) = await rows(
        server, "SELECT name, fingerprint, problems FROM hl7_profile_state"
    )
    serves = agreed.profiles.by_sender["a"]
    assert (name, fingerprint, serves.profile.version) == ("a", serves.fingerprint, "2")
    assert problems == ["a.toml: this is no TOML: Invalid value (at end of document)"]


@pytest.mark.anyio
@pytest.mark.usefixtures("always")
async def test_last_good_version_serves_on_after_a_restart(server: Server, tmp_path: Path) -> None:
    configured = with_hl7(server, profiles_dir=str(tmp_path))
    put(tmp_path, "a", GOOD)
    await Agreements(configured).refresh()
    put(tmp_path, "a", "version=")
    restarted = Agreements(configured)
    await restarted.refresh()
    assert restarted.profiles.by_sender["a"].profile.version == "1"
    assert len(restarted.profiles.problems) == 1
    put(tmp_path, "b", "version=")
    await restarted.refresh()
    assert list(restarted.profiles.by_sender) == ["a"]


@pytest.mark.anyio
async def test_process_keeps_one_of_each_server(server: Server) -> None:
    other = with_hl7(server, profiles_dir="elsewhere")
    assert agreements(server) is agreements(server)
    assert agreements(server) is not agreements(other)
