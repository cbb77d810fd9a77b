"""The commands of docs/terminology.md do what they say, against a server that listens."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from fhir_server.api.app import create_app
from fhir_server.server import Server

PAGE = Path(__file__).parents[2] / "docs" / "terminology.md"
BASE = "http://127.0.0.1:8080"


def examples() -> list[tuple[str, list[str]]]:
    """Commands, each with the lines that are part of what it prints."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found: list[tuple[str, list[str]]] = []
    # Blocks of other commands are other pages' to run.
    for line in "".join(one for one in blocks if one.startswith("curl")).splitlines():
        if line.startswith("# "):
            found[-1][1].append(line[2:])
        elif line.startswith("curl"):
            found.append((line, []))
        else:
            found[-1] = (f"{found[-1][0]}\n{line}", found[-1][1])
    return found


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[str]:
    """The address where the server listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        config = uvicorn.Config(create_app(server), lifespan="off", log_level="error")
        serving = uvicorn.Server(config)
        task = asyncio.create_task(serving.serve(sockets=[door]))
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        serving.should_exit = True
        await task


async def test_each_command_prints_what_is_below_it(server: Server, tmp_path: Path) -> None:
    assert len(examples()) >= 10
    async with listening(server) as address:
        for command, expected in examples():
            changed = command.replace(BASE, address).replace("/tmp/", f"{tmp_path}/")
            process = await asyncio.create_subprocess_exec(
                "bash", "-ec", changed, stdout=asyncio.subprocess.PIPE
            )
            printed, _ = await process.communicate()
            assert process.returncode == 0, command
            for one in expected:
                assert one in printed.decode(), command
