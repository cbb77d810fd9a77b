"""The command line `sangam`."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from typer.core import TyperGroup

from adapters.dicom.cli import app as dicom_app
from adapters.hl7.message.files import framed, messages
from adapters.hl7.mllp.client import client_context, send
from adapters.hl7.operators.analyzers import Host, Port
from adapters.hl7.operators.cli import app as hl7_app
from fhir_server.config import Settings
from fhir_server.errors import SangamError
from fhir_server.main import migrate as migrations
from fhir_server.main import serve as supervisor
from fhir_server.main import sources
from fhir_server.main.audit import app as audit_app
from fhir_server.main.backlog import app as jobs_app
from fhir_server.main.care import app as care_app
from fhir_server.main.clients import app as client_app
from fhir_server.main.consents import app as consent_app
from fhir_server.main.erasures import app as erasures_app
from fhir_server.main.keys import app as keys_app
from fhir_server.main.load import PIECE_BYTES, Summary
from fhir_server.main.load import load as load_files
from fhir_server.main.loaders import loaders
from fhir_server.main.log import configure
from fhir_server.main.opening import Refused
from fhir_server.main.options import DatabaseUrl, DataDir, fail, given
from fhir_server.main.packages import app as package_app
from fhir_server.main.placed import Placed
from fhir_server.main.roles import app as role_app
from fhir_server.main.send_astm import send_astm
from fhir_server.main.status import overview
from fhir_server.main.target import Target, base_of, database_of, opened, running_server
from fhir_server.main.tenant_cli import app as tenant_app
from fhir_server.main.tenants import find as find_tenant
from fhir_server.main.tenants import migrate_all, opener
from fhir_server.main.terminology import app as terminology_app
from fhir_server.main.users import app as user_app
from fhir_server.main.wiring import JOBS, running
from fhir_server.server import Server
from fhir_server.tenancy.handles import Register, attend
from fhir_server.tenancy.tenant import Tenant
from fhir_server.worker.runner import carrying

SHOWN_REFUSALS = 20


class Refusing(TyperGroup):
    """Commands whose refusals are a line for the person who typed them."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  (click's signature)
        """Run the command; a refusal ends it with status 1."""
        try:
            return super().invoke(ctx)
        except (Refused, SangamError) as error:
            fail(str(error))


app = typer.Typer(
    name="sangam",
    cls=Refusing,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    help="Sangam, a FHIR R4 server with HL7 v2 and DICOM.\n\n"
    "Start it with `sangam serve --demo`, look at it with `sangam status`. Every setting "
    "is in docs/settings.md: a flag, a variable `SANGAM_...`, or a line of `sangam.toml`.",
)
app.add_typer(hl7_app, name="hl7", cls=Placed)
app.add_typer(dicom_app, name="dicom", cls=Placed)
app.add_typer(jobs_app, name="jobs", cls=Placed)
app.add_typer(audit_app, name="audit", cls=Placed)
app.add_typer(erasures_app, name="erasures", cls=Placed)
app.add_typer(user_app, name="user", cls=Placed)
app.add_typer(role_app, name="role", cls=Placed)
app.add_typer(care_app, name="care", cls=Placed)
app.add_typer(consent_app, name="consent", cls=Placed)
app.add_typer(client_app, name="client", cls=Placed)
app.add_typer(keys_app, name="keys", cls=Placed)
app.add_typer(tenant_app, name="tenant", cls=Placed)
app.add_typer(package_app, name="package")
app.add_typer(terminology_app, name="terminology")
console = Console()

BrokerUrl = Annotated[
    str | None, typer.Option(help="redis://... or amqp://...", show_default="memory://")
]


@app.callback()
def main(context: typer.Context) -> None:
    """Give the sub-commands what they open the database with."""
    context.obj = Target(given)


@app.command()
def serve(  # noqa: PLR0913  (one parameter a flag)
    *,
    demo: Annotated[
        bool | None, typer.Option("--demo", help="Open without login, on loopback only.")
    ] = None,
    data_dir: DataDir = None,
    host: Annotated[
        str | None, typer.Option(help="Address to bind.", show_default="127.0.0.1")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(help="REST; 0: a free one.", show_default="8080")
    ] = None,
    mllp_port: Annotated[
        int | None, typer.Option(help="HL7 v2; 0: a free one.", show_default="2575")
    ] = None,
    astm_port: Annotated[
        int | None, typer.Option(help="ASTM analyzers; 0: a free one.", show_default="none")
    ] = None,
    dicom_port: Annotated[
        int | None, typer.Option(help="DICOM; 0: a free one.", show_default="11112")
    ] = None,
    database_url: DatabaseUrl = None,
    broker_url: BrokerUrl = None,
    processes: Annotated[int | None, typer.Option(help="HTTP processes.", show_default="1")] = None,
) -> None:
    """Start the server, its listeners, its worker and its database.

    Example: `sangam serve --demo --http-port 0`
    """
    settings = given(
        demo=demo,
        data_dir=data_dir,
        host=host,
        http_port=http_port,
        mllp_port=mllp_port,
        astm_port=astm_port,
        dicom_port=dicom_port,
        database_url=database_url,
        broker_url=broker_url,
        processes=processes,
    )
    supervisor.serve(settings)


@app.command()
def worker(
    data_dir: DataDir = None, database_url: DatabaseUrl = None, broker_url: BrokerUrl = None
) -> None:
    """Carry out jobs beside a server that uses a real broker.

    Example: `sangam worker --database-url postgresql://... --broker-url redis://localhost`
    """
    settings = given(data_dir=data_dir, database_url=database_url, broker_url=broker_url)
    if settings.broker_url.startswith("memory:") or not settings.database_url:
        fail("A worker of its own needs --database-url and a --broker-url such as redis://...")
    configure("worker")

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        base = settings.base_url or f"http://{settings.host}:{settings.http_port}/fhir"
        url = settings.database_url
        async with (
            running(settings, url, base) as server,
            carrying(settings.broker_url) as carrier,
        ):

            async def serve(one: Server, ended: asyncio.Event) -> None:
                await carrier.work(one, JOBS, ended)

            # What comes from the broker is of every tenant.
            register = Register(server.database, settings.tenants.look_seconds)
            others = attend(register, opener(settings, url, base), serve, stop)
            await asyncio.gather(serve(server, stop), others)

    asyncio.run(main())


@app.command()
def migrate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database's tables to this version; `serve` does so by itself."""
    settings = given(data_dir=data_dir, database_url=database_url)
    with database_of(settings) as conninfo:
        current = migrations.is_current(conninfo)
        migrations.migrate(conninfo)
        migrate_all(settings, conninfo)
    console.print("The database is current." if current else "The database was migrated.")


@app.command()
def load(
    paths: Annotated[list[Path], typer.Argument(exists=True, metavar="PATH...")],
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that store.", show_default="processors")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="A tenant of the installation.", show_default="none")
    ] = None,
) -> None:
    """Load Bundles, resources and NDJSON, also in .gz, .tgz and directories.

    A transaction or batch is carried out; any other resource is stored, under its
    own id if it has one. What is refused is listed, the rest is kept.

    Example: `sangam load synthea/ patients.ndjson.gz`
    """
    settings = given(data_dir=data_dir, database_url=database_url)
    with database_of(settings) as conninfo:
        migrations.migrate(conninfo)
        whose = tenant and find_tenant(conninfo, tenant)
        summary = _load(settings, conninfo, paths, processes or os.cpu_count() or 1, whose or None)
    _show(summary)
    if summary.refused:
        raise typer.Exit(1)


def _load(
    settings: Settings, conninfo: str, paths: list[Path], processes: int, tenant: Tenant | None
) -> Summary:
    base = base_of(settings)
    size = sources.size(paths)
    processes = min(processes, size // PIECE_BYTES + 1)
    columns = (TextColumn("Loading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with (
        loaders(settings, conninfo, base, processes, tenant) as carry,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task("load", total=size)

        def advance(done: int) -> None:
            progress.advance(task, done)

        return asyncio.run(load_files(carry, paths, jobs=2 * processes, advance=advance))


def _show(summary: Summary) -> None:
    table = Table("type", "stored")
    for type_name, count in sorted(summary.stored.items()):
        table.add_row(type_name, f"{count:,}")
    table.add_row("in all", f"{summary.stored.total():,}")
    console.print(table)
    if not summary.refused:
        return
    refused = Table("document", "place", "reason", title=f"{len(summary.refused):,} refused")
    for row in summary.refused[:SHOWN_REFUSALS]:
        refused.add_row(*row)
    console.print(refused)


@app.command("send-hl7")
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


app.command("send-astm")(send_astm)


@app.command()
def status(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show processes, ports, jobs, the HL7 inbox and the change feed."""
    settings = given(data_dir=data_dir, database_url=database_url)
    server = running_server(settings.data_dir)
    if server is None and not settings.database_url:
        fail(f"No server runs on {settings.data_dir}. Start one: sangam serve --demo")

    async def main() -> None:
        async with opened(settings) as database:
            console.print(await overview(database, server))

    asyncio.run(main())
