"""`sangam dicom`: peers, and query, retrieval and sending as the requester."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import psycopg
import typer
from pynetdicom.presentation import StoragePresentationContexts
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from adapters.dicom.dataset.identifier import Keys, keyword
from adapters.dicom.dataset.levels import Level
from adapters.dicom.dataset.syntaxes import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    RLE,
    VERIFICATION,
)
from adapters.dicom.listing import print_table
from adapters.dicom.network import classes
from adapters.dicom.network.command import Command, Element
from adapters.dicom.network.pdu import Fault
from adapters.dicom.network.scu import Refusal, Sender
from adapters.dicom.network.wire import Closed, TimedOut
from adapters.dicom.query import peers, requester, sending
from adapters.dicom.query.calling import call
from adapters.dicom.query.peers import Known
from adapters.dicom.query.requester import File
from adapters.dicom.query.suboperations import Pair
from fhir_server.config import Settings
from fhir_server.errors import BadRequest, NotFound, Unavailable
from fhir_server.networks import Unprotected

app = typer.Typer(help="The application entities that we know.", no_args_is_help=True)

_T = TypeVar("_T")
Opener = Callable[..., Sender]
"""Opens an association for contexts, and for classes that the peer sends."""
_BROKEN = (OSError, Refusal, Closed, TimedOut, Fault)
_MAX_CLASSES = 126
_SYNTAXES = (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    RLE,
    *(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91)),
)
_ECHO: list[Pair] = [(VERIFICATION, IMPLICIT_LITTLE)]

PeerName = Annotated[
    str, typer.Argument(metavar="PEER", help="AE title of a peer, or `AE@host:port`.")
]
Calling = Annotated[
    str | None, typer.Option(help="AE title that we call as.", show_default="our first")
]
KeyOptions = Annotated[
    list[str] | None,
    typer.Option("--key", "-k", help="`Keyword=value`, `Sequence.Keyword=value`, or `Keyword`."),
]
LevelOption = Annotated[Level, typer.Option(help="Query/Retrieve Level.", case_sensitive=False)]
Root = Annotated[str, typer.Option(help="`study` or `patient`.")]
FindRoot = Annotated[str, typer.Option(help="`study`, `patient` or `worklist`.")]


@app.command("list")
def list_peers(context: typer.Context) -> None:
    """Show the peers, when each called and was reached last, and why it was not."""
    table = Table("AE title", "host", "port", "services", "TLS", "heard", "reached", "failure")
    for peer, heard, reached, failure in _in_database(context, peers.listed):
        table.add_row(
            peer.ae_title,
            peer.host,
            str(peer.port or "-"),
            " ".join(peer.services),
            peer.identity or ("yes" if peer.tls else "plain" if peer.plain else "-"),
            *(f"{at:%Y-%m-%d %H:%M}" if at else "-" for at in (heard, reached)),
            _why_not(peer) or failure or "",
        )
    print_table(table)


@app.command("add")
def add_peer(  # noqa: PLR0913  (one parameter a column)
    context: typer.Context,
    ae_title: Annotated[str, typer.Argument(help="AE title; case counts.")],
    host: Annotated[str, typer.Argument(help="Address, network, name, or `*`.")],
    port: Annotated[int, typer.Argument(help="Where we call it; 0: we do not.")] = 0,
    *,
    service: Annotated[
        list[str] | None, typer.Option(help=f"What it may use: {', '.join(peers.SERVICES)}.")
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="We call it with TLS.")] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="We call it without, where others could read that.")
    ] = False,
    identity: Annotated[
        str | None, typer.Option(help="A name in its certificate, or its SHA-256.")
    ] = None,
    issuer: Annotated[
        str | None, typer.Option(help="Issuer of its Patient IDs that have none.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="IANA zone of its times without offset.")
    ] = None,
    character_set: Annotated[
        str | None, typer.Option(help="For answers to its queries that name none.")
    ] = None,
    discloses_to: Annotated[
        str | None,
        typer.Option(
            metavar="Organization/ID",
            help="It is of this other organisation: it gets what consents permit to disclose.",
        ),
    ] = None,
) -> None:
    """Let an application entity call us, and be called.

    Example: sangam dicom peers add CT1 10.0.0.7 104 --service store --service worklist
    """
    services = tuple(service or ("echo", "store"))
    texts = (issuer, timezone, character_set)
    peer = Known(ae_title, host, port, services, tls, identity, *texts, plain, discloses_to)
    _in_database(context, lambda connection: peers.add(connection, peer))
    typer.echo(f"{ae_title} may use: {', '.join(services)}")
    _warn(peer)


def _warn(peer: Known) -> None:
    if why := _why_not(peer):
        typer.echo(why, err=True)


def _why_not(peer: Known) -> str | None:
    try:
        if peer.port:
            peers.check(peer)
    except Unprotected as error:
        return f"It is not called. {error.strerror}"
    return None


@app.command("protect")
def protect_peer(
    context: typer.Context,
    ae_title: Annotated[str, typer.Argument(help="AE title; case counts.")],
    *,
    tls: Annotated[
        bool, typer.Option("--tls/--plain", help="We call it with TLS, or knowingly without.")
    ],
) -> None:
    """Say how a peer is called that is another machine.

    Example: sangam dicom peers protect PACS --tls
    """
    if not _in_database(context, lambda connection: peers.protect(connection, ae_title, tls=tls)):
        raise NotFound(f"There is no peer {ae_title}")
    typer.echo(f"{ae_title} is called {'with TLS' if tls else 'in the clear'}")


@app.command("remove")
def remove_peer(
    context: typer.Context,
    ae_title: Annotated[str, typer.Argument(help="AE title; case counts.")],
) -> None:
    """Forget a peer."""
    if not _in_database(context, lambda connection: peers.remove(connection, ae_title)):
        raise NotFound(f"There is no peer {ae_title}")
    typer.echo(f"{ae_title} is no peer any more")


@app.command("echo")
def echo_peer(context: typer.Context, peer: PeerName, calling: Calling = None) -> None:
    """Ask a peer whether it is there (C-ECHO)."""
    echo(context, peer, calling)


def echo(context: typer.Context, peer: PeerName, calling: Calling = None) -> None:
    """Ask a peer whether it is there (C-ECHO)."""
    with _calling(context, peer, calling, _ECHO) as sender:
        typer.echo(f"{peer}: {_status(sender.echo())}")


def find(
    context: typer.Context,
    peer: PeerName,
    key: KeyOptions = None,
    level: LevelOption = Level.STUDY,
    root: FindRoot = "study",
    calling: Calling = None,
) -> None:
    """Query a peer (C-FIND); with --root worklist its modality worklist.

    Example: sangam dicom find PACS -k PatientID=4711 -k StudyDate -k StudyInstanceUID
    """
    scheduled = root == "worklist"
    sop_class = classes.WORKLIST_FIND if scheduled else _classes(root)[0]
    keys = requester.identifier(None if scheduled else level, key or ())
    with _calling(context, peer, calling, requester.contexts(sop_class)) as sender:
        for status, found in requester.find(sender, sop_class, keys):
            for line in shown(found):
                typer.echo(line)
            typer.echo("" if status in requester.PENDING else _status(status))


def move(
    context: typer.Context,
    peer: PeerName,
    destination: Annotated[str, typer.Argument(help="AE title that the peer sends to.")],
    key: KeyOptions = None,
    level: LevelOption = Level.STUDY,
    root: Root = "study",
    calling: Calling = None,
) -> None:
    """Have a peer send instances to an AE title (C-MOVE)."""
    sop_class = _classes(root)[1]
    keys = requester.identifier(level, key or ())
    with _calling(context, peer, calling, requester.contexts(sop_class)) as sender:
        _told(requester.move(sender, sop_class, keys, destination))


def get(
    context: typer.Context,
    peer: PeerName,
    directory: Annotated[Path, typer.Argument(help="Where the files are written.")],
    key: KeyOptions = None,
    level: LevelOption = Level.STUDY,
    root: Root = "study",
    calling: Calling = None,
) -> None:
    """Take instances from a peer (C-GET)."""
    sop_class = _classes(root)[2]
    keys = requester.identifier(level, key or ())
    directory.mkdir(parents=True, exist_ok=True)
    pairs = requester.contexts(sop_class)
    with _calling(context, peer, calling, pairs, _storage()) as sender:
        _told(requester.get(sender, sop_class, keys, directory))


def send(
    context: typer.Context,
    peer: PeerName,
    paths: Annotated[
        list[Path], typer.Argument(exists=True, help="DICOM files, and directories of them.")
    ],
    calling: Calling = None,
    associations: Annotated[int, typer.Option(min=1, max=64, help="So many at once.")] = 1,
    *,
    tls: Annotated[
        bool, typer.Option("--tls", help="With TLS, also where the peer's row says nothing.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Without TLS, where others could read what is sent.")
    ] = False,
) -> None:
    """Send files to a peer as they are (C-STORE); the exit code is 1 if any was refused.

    Example: sangam dicom send PACS@10.0.0.5:104 /data/studies --associations 4
    """
    files = list(sending.files(paths))
    if not files:
        raise BadRequest("There is no DICOM file")
    known = peer_named(context, peer, tls=tls, plain=plain)
    tally: Counter[bool] = Counter()
    began = time.monotonic()
    columns = (TextColumn("Sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, markup=False), transient=True) as progress:
        task = progress.add_task("send", total=len(files))

        def told(file: File, status: int | None) -> None:
            tally[status == 0] += 1
            progress.advance(task)
            if status != 0:
                why = "the peer does not take its class or syntax"
                progress.console.print(f"{file.path}: {why if status is None else _status(status)}")

        with reaching(context, peer):
            sending.send(files, associations, opener(context, known, calling), told)
    seconds = time.monotonic() - began
    megabytes = sum(file.path.stat().st_size for file in files) / 1e6
    typer.echo(f"{tally[True]} sent, {tally[False]} refused")
    typer.echo(
        f"{megabytes:.1f} MB in {seconds:.1f} s, {len(files) / seconds:.0f} instances/s", err=True
    )
    if tally[False]:
        raise typer.Exit(1)


def shown(found: Keys, indent: str = "") -> Iterator[str]:
    """Yield the lines of an identifier, one an attribute."""
    for tag, key in sorted(found.items()):
        name = keyword(tag) or f"{tag:08X}"
        if key.vr != "SQ":
            yield f"{indent}{name}: " + "\\".join(str(value) for value in key.values)
            continue
        yield f"{indent}{name}:"
        for item in key.values:
            yield from shown(item, indent + "  ")


def _told(responses: Iterator[Command]) -> None:
    """Print the counts of a retrieval; fail unless all went well."""
    last = list(responses)[-1]
    counts = [
        last.number(element) or 0
        for element in (
            Element.NumberOfCompletedSuboperations,
            Element.NumberOfWarningSuboperations,
            Element.NumberOfFailedSuboperations,
        )
    ]
    status = last.number(Element.Status) or 0
    typer.echo("{} completed, {} with warnings, {} failed: ".format(*counts) + _status(status))
    if status:
        raise typer.Exit(1)


def _status(status: int) -> str:
    return "success" if status == 0 else f"status {status:04X}"


def _classes(root: str) -> tuple[str, str, str]:
    if root not in requester.ROOTS:
        raise BadRequest("The root is `study` or `patient`")
    return requester.ROOTS[root]


def _storage() -> dict[str, tuple[str, ...]]:
    """Return the storage classes that we take by C-GET, with their transfer syntaxes."""
    known = [str(one.abstract_syntax) for one in StoragePresentationContexts]
    return dict.fromkeys(known[:_MAX_CLASSES], _SYNTAXES)


@contextmanager
def _calling(
    context: typer.Context,
    name: str,
    calling: str | None,
    pairs: list[Pair],
    providing: Mapping[str, tuple[str, ...]] | None = None,
) -> Iterator[Sender]:
    """Lend an association with a peer; what breaks it is told and noted with the peer."""
    peer = peer_named(context, name)
    with reaching(context, name), opener(context, peer, calling)(pairs, providing) as sender:
        yield sender


def peer_named(
    context: typer.Context, name: str, *, tls: bool = False, plain: bool = False
) -> Known:
    """Return the peer of an AE title, or of `AE@host:port`. NotFound where we cannot call it."""
    peer = named(name) or _in_database(context, lambda connection: peers.get(connection, name))
    if peer is None or not peer.port:
        raise NotFound(f"There is no peer {name} that we call; `AE@host:port` names another")
    return replace(peer, tls=peer.tls or tls, plain=peer.plain or plain)


def opener(context: typer.Context, peer: Known, calling: str | None) -> Opener:
    """Return what opens associations with a peer, as one of our AE titles."""
    settings: Settings = context.obj.settings()
    ours = calling or settings.dicom.ae_titles[0]
    return partial(call, settings.dicom, peer, ours)


@contextmanager
def reaching(context: typer.Context, name: str) -> Iterator[None]:
    """Tell what breaks an association with a peer, and note it with the peer."""
    failure: str | None = None
    try:
        yield
    except _BROKEN as error:
        failure = peers.why(error)
        raise Unavailable(_unreached(name, failure, error)) from error
    finally:
        if named(name) is None:
            _in_database(context, lambda connection: peers.reached(connection, name, failure))


def _unreached(name: str, failure: str, error: Exception) -> str:
    if isinstance(error, Unprotected) and named(name):
        return (
            f"{name} is not called, as that would be in the clear: make it a peer "
            "(`sangam dicom peers add`) with --tls or --plain"
        )
    if isinstance(error, Unprotected):
        return f"{name} is not called. {failure}"
    return f"{name} did not answer ({failure}: {error})"


def named(text: str) -> Known | None:
    """Return the peer of `AE@host:port`, None where it is only a title."""
    title, at, rest = text.rpartition("@")
    host, _, port = rest.rpartition(":")
    if not at:
        return None
    if not port.isascii() or not port.isdigit():
        raise BadRequest("A peer is an AE title, or `AE@host:port`")
    return peers.valid(Known(title, host.strip("[]"), int(port)))


def _in_database(
    context: typer.Context, act: Callable[[psycopg.Connection[tuple[Any, ...]]], _T]
) -> _T:
    """Do something with a connection to the database of this installation."""

    async def main() -> _T:
        async with context.obj() as database:
            return await asyncio.to_thread(_with, database.conninfo, act)

    return asyncio.run(main())


def _with(conninfo: str, act: Callable[[psycopg.Connection[tuple[Any, ...]]], _T]) -> _T:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return act(connection)
