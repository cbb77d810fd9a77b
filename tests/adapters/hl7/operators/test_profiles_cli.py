"""`sangam hl7 profiles` and `sangam hl7 codes` over a database."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.hl7.codes import follow
from adapters.hl7.inbox import process
from adapters.hl7.inbox.receive import store
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Kind
from adapters.hl7.operators.cli import app
from adapters.hl7.profiles.agreements import Agreements
from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.main import wiring
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7

GOOD = "version = '7'\n[match]\napplications = ['LIS']\n"
MESSAGE = (
    b"MSH|^~\\&|LIS|LAB|EHR|H|2026||ORU^R01|C1|P|2.5.1\rPID|1||P1^^^H^MR\r"
    b"OBR|1||F1|1-1^x^LN\rOBX|1|NM|GLU^Sugar||5|blips|||||F\r"
)


@dataclass(frozen=True)
class Target:
    """What the command line gives: a database, and a server over it."""

    database_url: str
    data_dir: Path

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Database]:
        database = Database(self.database_url, size=4)
        await database.open()
        try:
            yield database
        finally:
            await database.close()

    @asynccontextmanager
    async def server(self) -> AsyncIterator[Server]:
        settings = Settings(demo=True, data_dir=self.data_dir)
        async with self() as database:
            yield await wiring.build(settings, database, "http://h/fhir")


@pytest.fixture
def target(database_url: str, tmp_path: Path) -> Target:
    return Target(database_url, tmp_path / "data")


def sangam(target: Target, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, arguments, obj=target, env={"COLUMNS": "250"})
    assert result.exit_code == code, result.output
    return result.output


def on(target: Target, work: Callable[[Server], Coroutine[Any, Any, None]]) -> None:
    async def working() -> None:
        async with target.server() as server:
            await work(server)

    asyncio.run(working())


def put(target: Target, folder: Path, **files: str) -> None:
    """Write files of profiles and have a new process look at them."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)

    async def look(server: Server) -> None:
        await Agreements(with_hl7(server, profiles_dir=str(folder))).refresh()

    on(target, look)


def test_profiles_are_listed_as_they_serve(target: Target, tmp_path: Path) -> None:
    put(target, tmp_path / "p", lis=GOOD)
    assert " ".join(sangam(target, "profiles", "list").split()).count("serves") == 1
    put(target, tmp_path / "p", lis="version=", other="version=")
    told = sangam(target, "profiles", "list", code=1)
    assert "broken: the version before serves" in told
    assert "broken: it does not serve" in told
    assert "lis.toml: this is no TOML: Invalid value" in told


def test_profile_is_shown_as_it_serves_and_as_it_served(target: Target, tmp_path: Path) -> None:
    put(target, tmp_path / "p", lis=GOOD)
    first = sangam(target, "profiles", "show", "lis")
    assert first == GOOD
    listed = sangam(target, "profiles", "list")
    fingerprint = next(word for word in listed.split() if len(word) == 12 and word.isalnum())
    put(target, tmp_path / "p", lis=GOOD.replace("7", "8"))
    assert sangam(target, "profiles", "show", "lis") == GOOD.replace("7", "8")
    assert sangam(target, "profiles", "show", "lis", "--fingerprint", fingerprint) == GOOD
    assert "no such profile" in sangam(target, "profiles", "show", "nobody", code=2)


def test_check_tells_what_is_wrong_with_each_file(target: Target, tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text(GOOD)
    (tmp_path / "bad.toml").write_text("versoin = '1'")
    told = sangam(
        target, "profiles", "check", f"{tmp_path}/good.toml", f"{tmp_path}/bad.toml", code=1
    )
    assert "good.toml: version 7 of good can be used" in told
    assert "bad.toml: versoin: there is no such key; did you mean version?" in told


def test_code_is_mapped_from_the_command_line(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "SEEN_SECONDS", 0.0)

    async def receive(server: Server) -> None:
        now = datetime.now(UTC)
        received = examine(Frame(Kind.WHOLE, MESSAGE), server.settings.hl7, now)
        await store(server.database, "mllp", [(received, "test")])
        await process.run(server, {})

    async def work(server: Server) -> None:
        await follow.run(server, {})

    on(target, receive)
    assert "asked for" in sangam(target, "codes", "list")
    assert "code^display^system" in sangam(
        target, "codes", "map", "LIS-LAB", "GLU", "2345-7", code=2
    )
    assert "no UCUM code" in sangam(target, "codes", "map", "LIS-LAB", "blips", "blops", code=2)
    assert "no such code" in sangam(target, "codes", "map", "LIS-LAB", "NA", "1^x^LN", code=2)
    sangam(target, "codes", "map", "LIS-LAB", "GLU", "2345-7^Glucose^LN")
    sangam(target, "codes", "map", "LIS-LAB", "blips")
    assert "being repaired: 2345-7^Glucose" in sangam(target, "codes", "list")
    on(target, work)
    assert "GLU" not in sangam(target, "codes", "list")
    assert "translated: 2345-7^Glucose" in sangam(target, "codes", "list", "--all")
