"""Commands by which a tenant leaves an installation and comes into another."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from fhir_server.at_rest import envelope, master
from fhir_server.at_rest.folder import Reading, named, new_key, write_out
from fhir_server.at_rest.keys import DataKey
from fhir_server.audit.happening import EXPORTED
from fhir_server.errors import BadRequest
from fhir_server.main import administered, migrate, tenant_import, tenants
from fhir_server.main.databases import base_of
from fhir_server.main.for_tenants import installation, read_settings
from fhir_server.main.options import fail
from fhir_server.main.tenant_export import export as write_folder
from fhir_server.main.tenant_import import Bringing, Told
from fhir_server.tenancy import erased

Sealed: TypeAlias = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="An export.")]
KeyFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="File with its key, or with your private key.", show_default="FOLDER.key"),
]
Passphrase: TypeAlias = Annotated[
    bool, typer.Option("--passphrase", help="Ask for the passphrase that it is sealed for.")
]
PassphraseFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="File whose first line is the passphrase."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to those of tenants."""
    app.command()(export)
    app.command("import")(bring)
    app.command()(unseal)
    app.command()(pair)


def export(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The tenant.")],
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    key_file: Annotated[
        Path | None,
        typer.Option(help="New file for the key of the folder.", show_default="FOLDER.key"),
    ] = None,
    recipient: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Public key of who is to open it."),
    ] = None,
    *,
    passphrase: Passphrase = False,
    passphrase_file: PassphraseFile = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Not sealed: for people and programs, not for an import."),
    ] = False,
) -> None:
    """Write all that a tenant has to a folder, sealed under a key of its own.

    The key is in a file, or in the folder itself, for a recipient or a passphrase alone.

    Example: `sangam tenant export north north-2026-11 --recipient their.pub`
    """
    phrase = _phrase(passphrase_file, ask=passphrase, twice=True)
    key, wrapped = _key_of_new(folder, key_file, recipient, phrase, plain=plain)
    with installation(context) as (settings, conninfo):
        one = tenants.find(conninfo, name)
        opener = tenants.opener(settings, conninfo, base_of(settings))
        with tenants.connected(conninfo) as connection:
            administered.keep(connection, name, EXPORTED, "plain" if plain else "sealed")

        async def written() -> int:
            async with opener(one) as server:
                return await write_folder(server, one, folder, key)

        count = asyncio.run(written())
    if wrapped is not None:
        (folder / envelope.NAME).write_text(wrapped)
    console = Console(markup=False)
    console.print(f"{count:,} resources of {name} are in {folder}.")
    if key is not None:
        console.print(f"Its digest is {Reading(folder, key).digest()}", soft_wrap=True)


def bring(
    context: typer.Context,
    folder: Sealed,
    name: Annotated[str, typer.Option(help="What the tenant is called here; a new name.")],
    key_file: KeyFile = None,
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings", exists=True, dir_okay=False, help="TOML file in place of its settings."
        ),
    ] = None,
    erased_file: Annotated[
        Path | None,
        typer.Option(
            "--erased",
            exists=True,
            dir_okay=False,
            help="The file `erased` of where it comes from: who was erased since the export.",
        ),
    ] = None,
    *,
    passphrase: Passphrase = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Bring a tenant back from an export, whole; it is suspended until `sangam tenant resume`.

    Nothing is written before all of the export was read and found as it was sealed. What
    breaks off is served to nobody, and begun anew by the same command.

    Example: `sangam tenant import north-2026-11 --name north`
    """
    with _said():
        key = _key_of(folder, key_file, _phrase(passphrase_file, ask=passphrase, twice=False))
    gone = erased.read(erased_file) if erased_file else frozenset()
    own = read_settings(settings_file) if settings_file else None
    with _telling() as told, installation(context) as (settings, conninfo):
        wanted = Bringing(Reading(folder, key), name, own, gone)
        migrate.migrate(conninfo)
        made = tenant_import.bring(settings, conninfo, base_of(settings), wanted, told)
    console = Console(markup=False)
    console.print(f"The tenant {made.name} is there, suspended: sangam tenant resume {made.name}")
    console.print(f"The digest of the export is {wanted.folder.digest()}", soft_wrap=True)


def unseal(
    folder: Sealed,
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    key_file: KeyFile = None,
    *,
    passphrase: Passphrase = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write a sealed export so that it can be read; no server or database is needed.

    Example: `sangam tenant unseal north-2026-11 north-readable`
    """
    with _said():
        key = _key_of(folder, key_file, _phrase(passphrase_file, ask=passphrase, twice=False))
        count = write_out(Reading(folder, key), out)
    Console(markup=False).print(f"{count:,} files are in {out}.")


def pair(
    private: Annotated[Path, typer.Argument(help="A new file, for your eyes alone.")],
) -> None:
    """Make a pair of keys, of which others seal exports for you by the public one.

    Example: `sangam tenant pair import.key`
    """
    public = private.with_name(f"{private.name}.pub")
    public.write_text(envelope.new_pair(private) + "\n")
    Console(markup=False).print(
        f"Give {public} to who exports, and keep {private}.", soft_wrap=True
    )


@contextmanager
def _said() -> Iterator[None]:
    """End the command by a line where a folder is not as it was sealed."""
    try:
        yield
    except OSError as error:
        fail(f"The export cannot be opened: {error.strerror or error}")


@contextmanager
def _telling() -> Iterator[Told]:
    """Lend what draws how far an import is."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with _said(), Progress(*columns, TimeRemainingColumn(), console=Console(markup=False)) as bars:
        tasks: dict[str, TaskID] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield told


def _key_of_new(
    folder: Path,
    key_file: Path | None,
    recipient: Path | None,
    phrase: str | None,
    *,
    plain: bool,
) -> tuple[DataKey | None, str | None]:
    """Return the key of a folder to be, and the envelope that goes into it, if any."""
    if sum((plain, key_file is not None, recipient is not None, phrase is not None)) > 1:
        raise BadRequest("Choose one of --plain, --key-file, --recipient and --passphrase")
    if plain:
        return None, None
    if recipient is None and phrase is None:
        return new_key(key_file or folder.with_name(f"{folder.name}.key")), None
    key = master.new()
    if recipient is not None:
        return named(key), envelope.for_pair(key, recipient)
    return named(key), envelope.for_passphrase(key, phrase or "")


def _key_of(folder: Path, key_file: Path | None, phrase: str | None) -> DataKey:
    """Return the key of a sealed folder: that of a file, or that in its envelope."""
    place = folder / envelope.NAME
    if not place.exists():
        if phrase is not None:
            raise BadRequest("The export is not sealed for a passphrase; give its --key-file")
        return named(master.read(key_file or folder.with_name(f"{folder.name}.key")).keys[0])
    if place.is_symlink() or place.stat().st_size > envelope.LARGEST:
        raise BadRequest("The envelope of the key is none")
    wrapped = place.read_text("ascii", "replace")
    return named(envelope.opened(wrapped, private=key_file, passphrase=phrase))


def _phrase(file: Path | None, *, ask: bool, twice: bool) -> str | None:
    if file is not None:
        return next(iter(file.read_text().splitlines()), "")
    if not ask:
        return None
    found: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice)
    return found
