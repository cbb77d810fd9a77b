"""The master key from a command: told once, checked, and never shown."""

import base64
import logging
import os
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from fhir_server.at_rest import custody as place
from fhir_server.at_rest import master
from fhir_server.at_rest.custody import Custody, custody
from fhir_server.at_rest_settings import AtRestSettings
from fhir_server.bases import DEFAULT
from fhir_server.blobs import blobs_of
from fhir_server.config import Settings
from fhir_server.errors import Conflict
from fhir_server.main.rewrapping import rotated
from fhir_server.server import Server

KEY = base64.b64encode(b"k" * 32).decode()
NEW = base64.b64encode(b"n" * 32).decode()


def held(script: str, seconds: float = 10.0) -> Custody:
    return Custody(Path("none"), ("/bin/sh", "-c", script), seconds)


def of(settings: Settings, script: str) -> Settings:
    """Settings by which the master key is what a script prints."""
    at_rest = AtRestSettings(master_key_command=("/bin/sh", "-c", script))
    security = settings.security.model_copy(update={"at_rest": at_rest})
    return settings.model_copy(update={"security": security})


@pytest.fixture(autouse=True)
def untold() -> None:
    place._kept.clear()  # noqa: SLF001


@pytest.mark.parametrize(
    ("said", "words"),
    [
        pytest.param(held("echo SECRET >&2; exit 3"), "ended with status 3", id="fails"),
        pytest.param(held("sleep 30", 0.05), "took longer than 0.05 s", id="late"),
        pytest.param(held("sleep 30 & exit 0", 0.05), "took longer", id="leaves_one_behind"),
        pytest.param(held("exec >&-; sleep 30", 0.05), "took longer", id="says_all_and_stays"),
        pytest.param(held("yes SECRET"), "prints more than keys", id="prints_for_ever"),
        pytest.param(held("echo SECRET"), "has a line that is no key", id="prints_another_thing"),
        pytest.param(held("true"), "holds no key", id="prints_nothing"),
        pytest.param(
            Custody(Path("none"), ("/nowhere/to/be/found",)), "cannot be run", id="is_not_there"
        ),
    ],
)
def test_a_command_that_tells_no_key_is_refused_in_words_that_quote_nothing(
    said: Custody, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Conflict, match=words) as refused:
        said.read()
    assert "SECRET" not in str(refused.value) + caplog.text


def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    script = f"sleep 30 & echo $! > {tmp_path}/left; wait"
    with pytest.raises(Conflict):
        held(script, 0.2).read()
    left = int((tmp_path / "left").read_text())
    for _ in range(100):
        try:
            os.kill(left, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{left}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.02)
    pytest.fail("it lives on")


async def test_a_command_is_asked_once_for_all_tenants_and_again_for_a_key_that_is_new(
    server: Server, tmp_path: Path
) -> None:
    conninfo, own = server.database.conninfo, custody(server.settings).path
    settings = of(server.settings, f"echo x >> {tmp_path}/asked; cat {tmp_path}/told")
    (tmp_path / "told").write_bytes(own.read_bytes())
    digest = server.blobs.put(b"content")
    first, second = (blobs_of(settings, conninfo, DEFAULT) for _ in range(2))
    assert first.get(digest) == second.get(digest) == b"content"
    assert (tmp_path / "asked").read_text() == "x\n"
    with pytest.raises(Conflict, match="comes from the command sh: put a line"):
        rotated(conninfo, custody(settings))
    (tmp_path / "told").write_text(f"{NEW}\n{own.read_text()}")
    assert rotated(conninfo, custody(settings)) == (1, False)
    (tmp_path / "told").write_text(f"{NEW}\n")
    place._kept[settings.security.at_rest.master_key_command] = master.read(own)  # noqa: SLF001
    assert blobs_of(settings, conninfo, DEFAULT).get(digest) == b"content"
    assert own.exists()  # nothing is written or removed where a command tells the key


async def test_the_key_of_another_installation_is_named_beside_the_one_that_is_needed(
    server: Server,
) -> None:
    needed = master.mark(custody(server.settings).read().keys[0]).hex()[:8]
    there = master.mark(b"k" * 32).hex()[:8]
    other = blobs_of(of(server.settings, f"echo {KEY}"), server.database.conninfo, DEFAULT)
    with pytest.raises(OSError, match=f"that is {needed}, and there is {there}"):
        other.put(b"content")


def test_the_key_comes_from_a_file_or_a_command_and_not_from_both() -> None:
    with pytest.raises(ValidationError, match="exclude each other"):
        AtRestSettings(master_key_file="a", master_key_command=("b",))
