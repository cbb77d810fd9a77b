"""`sangam send-astm`: records of files sent as an analyzer sends them."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from adapters.hl7.astm.client import send
from adapters.hl7.astm.connection import LONGEST
from adapters.hl7.astm.frames import split
from adapters.hl7.operators.analyzers import Host, Port
from adapters.hl7.records.files import messages, records
from fhir_server.main.databases import running_server
from fhir_server.main.options import DataDir, fail, given


def send_astm(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, metavar="FILE...")],
    *,
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    dialect: Annotated[
        Literal["E1381-95", "LIS01-A2"], typer.Option(help="Frames of 240 or 63,993 characters.")
    ] = "E1381-95",
) -> None:
    """Send the ASTM messages of files over the link protocol, each in a session of its own.

    Example: `sangam send-astm docs/examples/hematology.astm`
    """
    server = running_server(given(data_dir=data_dir).data_dir)
    if port is None and (server is None or "astm" not in server.ports):
        fail("No server listens for analyzers: start it with --astm-port, or name --port.")
    host = host or (server.host if server else "127.0.0.1")
    port = port or (server.ports["astm"] if server else 0)
    bad = sum(_file(file, host, port, LONGEST[dialect]) for file in files)
    if bad:
        raise typer.Exit(1)


def _file(file: Path, host: str, port: int, longest: int) -> int:
    """Send a file; return how many of its messages were not taken."""
    found = messages(file.read_bytes())
    if not found:
        fail(f"{file} has no records.")
    console = Console(markup=False)
    total = sum(len(split(records(one), longest)) for one in found)
    columns = (TextColumn(file.name), BarColumn(), MofNCompleteColumn(), TextColumn("frames"))
    bad = 0
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("send", total=total)
        try:
            deliveries = send(host, port, found, longest, lambda: progress.advance(task))
            for number, one in enumerate(deliveries, 1):
                said = f"{one.frames} frames taken" if one.ok else one.reason
                console.print(f"{file}[{number}] {said}", markup=False, soft_wrap=True)
                bad += not one.ok
        except OSError as error:
            fail(f"No analyzer port answers at {host}:{port} ({error}). Is the server running?")
    return bad
