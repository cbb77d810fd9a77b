"""docs/hl7-explain.md and docs/hl7-operations.md do what they say."""

import asyncio
import re
import shlex
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from typer.testing import CliRunner

from adapters.hl7.message.files import messages
from adapters.hl7.mllp.listener import serve
from adapters.hl7.operators.api import routes
from adapters.hl7.operators.cli import app
from fhir_server.api.app import create_app
from fhir_server.server import Server
from tests.adapters.hl7.laboratory.sending import take

ROOT = Path(__file__).parents[2]
BASE = "http://127.0.0.1:8080"


def commands(page: str) -> list[tuple[str, list[str]]]:
    """Return the commands of a page, each with what it says of the output."""
    found: list[tuple[str, list[str]]] = []
    text = (ROOT / "docs" / page).read_text()
    for line in "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines():
        if line.startswith("# "):
            found[-1][1].append(line[2:])
        elif line.startswith(("curl", "sangam")):
            found.append((line, []))
        else:
            found[-1] = (f"{found[-1][0]}\n{line}", found[-1][1])
    return found


def invoke(command: str, *more: str) -> str:
    words = command.replace("docs/", f"{ROOT}/docs/").split()
    found = CliRunner().invoke(app, [*words[2:], *more], env={"COLUMNS": "120"})
    assert found.exit_code == 0, found.output
    return found.output


@pytest.mark.parametrize(("command", "expected"), commands("hl7-explain.md"))
def test_command_explains_what_the_page_says(command: str, expected: list[str]) -> None:
    shown = invoke(command)
    assert expected
    assert [one for one in expected if one not in shown] == []


def test_the_table_of_the_page_is_printed() -> None:
    text = (ROOT / "docs" / "hl7-explain.md").read_text()
    (table,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    shown = [line.split() for line in invoke(commands("hl7-explain.md")[0][0]).splitlines()]
    assert [line for line in table.splitlines() if line.split() not in shown] == []


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        inner = create_app(server, (), routes(server))
        serving = uvicorn.Server(uvicorn.Config(inner, lifespan="off", log_level="error"))
        task = asyncio.create_task(serving.serve(sockets=[door]))
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        serving.should_exit = True
        await task


async def test_requests_of_the_page_answer_as_it_says(server: Server) -> None:
    await take(server, *messages((ROOT / "docs" / "examples" / "chemistry.hl7").read_bytes()))
    asked = [one for one in commands("hl7-operations.md") if one[0].startswith("curl")]
    assert len(asked) == 10
    async with listening(server) as address:
        for command, expected in asked:
            words = shlex.split(command.replace(BASE, address).replace("\\\n", " "))
            words = [one.replace("@docs/", f"@{ROOT}/docs/") for one in words]
            process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
            printed, _ = await process.communicate()
            assert process.returncode == 0, command
            for one in expected:
                assert one in printed.decode(), (command, printed.decode()[:2000])


async def test_analyzers_of_the_page_are_played(server: Server) -> None:
    sock, stop = socket.create_server(("127.0.0.1", 0)), asyncio.Event()
    port = str(sock.getsockname()[1])
    task = asyncio.create_task(serve(server, sock, stop))
    played = [one for one in commands("hl7-operations.md") if "simulate" in one[0]]
    for command, (expected,) in played:
        assert expected in await asyncio.to_thread(invoke, command, "--port", port)
    stop.set()
    await task
    assert len(played) == 2


def test_every_metric_of_the_page_is_one() -> None:
    text = (ROOT / "docs" / "hl7-operations.md").read_text()
    named = set(re.findall(r"`((?:hl7|astm)_[a-z_]+)", text))
    sources = "".join(
        one.read_text()
        for one in (ROOT / "adapters" / "hl7").rglob("*.py")
        if "simulate" not in str(one)
    )
    assert {one for one in named if f'"{one.removesuffix("_total")}"' not in sources} == set()
    assert len(named) > 20
