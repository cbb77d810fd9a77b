"""`sangam send-astm` against a running line."""

import asyncio
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fhir_server.main.cli import app
from fhir_server.server import Server
from tests.adapters.hl7.astm.conftest import Connect, applied, inbox, lines

TWO = b"""# kept by the laboratory
H|\\^&|||Maker^Model
P|1|17
O|1|S-1||^^^GLU
R|1|^^^GLU|5.4|mmol/L||||F
L|1|N

H|\\^&|||Maker^Model
P|1|18
O|1|S-2||^^^GLU
R|1|^^^GLU|6.1|mmol/L||||F
L|1|N
"""


async def sent(connect: Connect, *flags: str) -> Result:
    async with connect() as one:
        port = one.writer.get_extra_info("peername")[1]
        command = ["send-astm", *flags, "--host", "127.0.0.1", "--port", str(port)]
        return await asyncio.to_thread(CliRunner().invoke, app, command)


@pytest.mark.parametrize("dialect", ["E1381-95", "LIS01-A2"])
async def test_the_messages_of_a_file_are_sent_and_applied(
    server: Server, tmp_path: Path, dialect: str
) -> None:
    file = tmp_path / "two.astm"
    file.write_bytes(TWO)
    async with lines(server) as connect:
        result = await sent(connect, str(file), "--dialect", dialect)
        assert (result.exit_code, "[2] 5 frames taken" in result.output) == (0, True)
        assert len(await inbox(server, 2)) == 2
    assert [row[0] for row in await applied(server)] == ["done", "done"]


async def test_a_file_without_records_is_refused(connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "empty.astm"
    file.write_bytes(b"# nothing\n\n")
    result = await sent(connect, str(file))
    assert (result.exit_code, "has no records" in result.output) == (1, True)


def test_without_a_listener_the_command_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "two.astm"
    file.write_bytes(TWO)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    flags = ["send-astm", str(file), "--host", "127.0.0.1", "--port", str(port)]
    result = CliRunner().invoke(app, flags)
    assert (result.exit_code, "Is the server running?" in result.output) == (1, True)
