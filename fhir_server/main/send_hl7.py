"""`sangam send-hl7`: messages of files sent over MLLP."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adapters.hl7.message.files import framed, messages
from adapters.hl7.mllp.client import client_context, send
from adapters.hl7.operators.analyzers import Host, Port
from fhir_server.main.databases import running_server
from fhir_server.main.options import DataDir, fail, given

console = Console(markup=False)


def send_hl7(  # noqa: PLR0913  (one parameter a flag)
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, metavar="FILE...")],
    *,
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Time for each answer.")] = 30,
    batch: Annotated[
        bool, typer.Option("--batch", help="Send each file as it is, in one frame.")
    ] = False,
    tls: Annotated[bool, typer.Option("--tls", help="Connect by TLS.")] = False,
    tls_ca: Annotated[
        Path | None, typer.Option(help="PEM file with the listener's authorities; with --tls.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM file with our certificate; with --tls.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file with its key.")] = None,
    tls_any_name: Annotated[
        bool, typer.Option("--tls-any-name", help="The certificate may be of another host.")
    ] = False,
) -> None:
    """Send the HL7 v2 messages of files over MLLP and show each acknowledgement.

    Example: `sangam send-hl7 docs/examples/chemistry.hl7`
    """
    server = running_server(given(data_dir=data_dir).data_dir)
    if port is None and (server is None or "mllp" not in server.ports):
        fail(
            "No server listens for this data directory. Name its --data-dir, or --host and --port."
        )
    host = host or (server.host if server else "127.0.0.1")
    port = port or (server.ports["mllp"] if server else 0)
    shown = {"ca": tls_ca, "certificate": tls_cert, "key": tls_key}
    if not tls and any(shown.values()):
        fail("--tls-ca, --tls-cert and --tls-key go with --tls.")
    bad = 0
    for file in files:
        content = file.read_bytes()
        found = [content] if batch else [framed(one) for one in messages(content)]
        if not found:
            fail(f"{file} has no HL7 v2 message: none begins with MSH.")
        try:
            said = {name: str(path or "") for name, path in shown.items()}
            context = client_context(**said, check_name=not tls_any_name) if tls else None
            answers = send(host, port, found, seconds=seconds, tls=context)
            for number, answer in enumerate(answers, start=1):
                console.print(f"{file}[{number}] {answer.code} {answer.text}", markup=False)
                bad += answer.code not in {"AA", "CA"}
        except OSError as error:
            fail(f"No acknowledgement from {host}:{port} ({error}). Is the server running?")
    if bad:
        raise typer.Exit(1)
