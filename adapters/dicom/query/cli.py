"""`sangam dicom`: peers, and query, retrieval and sending as the requester."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import psycopg
import typer
from pynetdicom.presentation import StoragePresentationContexts
from rich.console import Console
from rich.table import Table

from adapters.dicom.dataset.identifier import Keys, keyword
from adapters.dicom.dataset.levels import Level
from adapters.dicom.dataset.syntaxes import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    RLE,
    VERIFICATION,
)
from adapters.dicom.network.command import Command, Element
from adapters.dicom.network.pdu import Fault
from adapters.dicom.network.scu import Refusal, Sender
from adapters.dicom.network.wire import Closed, TimedOut
from adapters.dicom.query import peers, requester
from adapters.dicom.query.calling import call
from adapters.dicom.query.peers import Known
from adapters.dicom.query.suboperations import Pair
from fhir_server.config import Settings
from fhir_server.errors import BadRequest, NotFound, Unavailable

app = typer.Typer(help="The application entities that we know.", no_args_is_help=True)

_T = TypeVar("_T")
_BROKEN = (OSError, Refusal, Closed, TimedOut, Fault)
_MAX_CLASSES = 126
_MAX_CONTEXTS = 128
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
            peer.identity or ("yes" if peer.tls else "-"),
            *(f"{at:%Y-%m-%d %H:%M}" if at else "-" for at in (heard, reached)),
            failure or "",
        )
    Console().print(table)


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
) -> None:
    """Let an application entity call us, and be called.

    Example: sangam dicom peers add CT1 10.0.0.7 104 --service store --service worklist
    """
    services = tuple(service or ("echo", "store"))
    peer = Known(ae_title, host, port, services, tls, identity, issuer, timezone, character_set)
    _in_database(context, lambda connection: peers.add(connection, peer))
    typer.echo(f"{ae_title} may use: {', '.join(services)}")


@app.command("remove")
def remove_peer(context: typer.Context, ae_title: str) -> None:
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
    root: Root = "study",
    calling: Calling = None,
) -> None:
    """Query a peer (C-FIND).

    Example: sangam dicom find PACS -k PatientID=4711 -k StudyDate -k StudyInstanceUID
    """
    sop_class = _classes(root)[0]
    keys = requester.identifier(level, key or ())
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
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, and directories of them.")],
    calling: Calling = None,
) -> None:
    """Send files to a peer as they are (C-STORE)."""
    files = [file for path in _files(paths) if (file := requester.dicom_file(path))]
    if not files:
        raise BadRequest("There is no DICOM file")
    sent = refused = 0
    pairs = list(dict.fromkeys(file.pair for file in files))
    for start in range(0, len(pairs), _MAX_CONTEXTS):
        some = pairs[start : start + _MAX_CONTEXTS]
        with _calling(context, peer, calling, some) as sender:
            for file in files:
                if file.pair in some:
                    status = requester.send(sender, file)
                    sent += status == 0
                    refused += status != 0
                    if status:
                        typer.echo(f"{file.path}: {_status(status)}")
                    elif status is None:
                        typer.echo(f"{file.path}: the peer does not take its class or syntax")
    typer.echo(f"{sent} sent, {refused} refused")
    if refused:
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


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file())
        else:
            yield path


@contextmanager
def _calling(
    context: typer.Context,
    name: str,
    calling: str | None,
    pairs: list[Pair],
    providing: Mapping[str, tuple[str, ...]] | None = None,
) -> Iterator[Sender]:
    """Lend an association with a peer; what breaks it is told and noted with the peer."""
    settings: Settings = context.obj.settings()
    peer = named(name) or _in_database(context, lambda connection: peers.get(connection, name))
    if peer is None or not peer.port:
        raise NotFound(f"There is no peer {name} that we call; `AE@host:port` names another")
    failure: str | None = None
    try:
        ours = calling or settings.dicom.ae_titles[0]
        with call(settings.dicom, peer, ours, pairs, providing) as sender:
            yield sender
    except _BROKEN as error:
        failure = type(error).__name__
        raise Unavailable(f"{name} did not answer ({failure}: {error})") from error
    finally:
        if named(name) is None:
            _in_database(
                context, lambda connection: peers.reached(connection, peer.ae_title, failure)
            )


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
