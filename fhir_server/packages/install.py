"""The installation of a package with what it depends on: all of it, or nothing.

https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Conflict
from fhir_server.packages import judge, record
from fhir_server.packages.bring import Bringing, Done, Tell, Wish
from fhir_server.packages.dependencies import needs
from fhir_server.packages.judge import Fault
from fhir_server.packages.manifest import Manifest, require_fhir
from fhir_server.packages.package import Package, read, said
from fhir_server.packages.record import Installed
from fhir_server.server import InForce, Server
from fhir_server.store.attempts import atomically

_ARCHIVES = (".tgz", ".tar.gz")


def _quiet(doing: str, done: int, total: int) -> None:
    """Tell nobody."""


async def install(
    server: Server, caller: Caller, path: Path, wish: Wish, tell: Tell = _quiet
) -> list[Done]:
    """Install the package in a .tgz file or a directory; what it needs comes first.

    BadRequest and TooLarge for what is no package, Unprocessable for one that is made for
    another FHIR or holds what cannot be stored, NotFound for a dependency that is nowhere,
    Conflict when something else is stored under a name or canonical.
    """
    package = _read(server, path, tell)
    offered = _offered(server, wish.folder)
    async with server.database.connection() as connection:
        before = await record.installed(connection)
    needed = needs(package.manifest, _versions(before), offered.values(), wish.without)
    paths = {one.label: place for place, one in offered.items()}
    packages = [
        package if one.label == package.label else _read(server, paths[one.label], tell)
        for one in needed.packages
    ]
    for one in packages:
        if not wish.any_fhir:
            require_fhir(one.manifest)
    by_label = {one.label: one for one in before}
    # Examples are those of the package that was named, and what was there stays there.
    wishes = {
        one.label: replace(
            wish,
            examples=(wish.examples and one is package)
            or (one.label in by_label and by_label[one.label].examples),
        )
        for one in packages
    }
    judged = {one.label: _judged(server, one, wishes[one.label], tell) for one in packages}

    async def work(connection: Connection) -> list[Done]:
        await record.lock(connection)
        if [one.id for one in await record.installed(connection)] != [one.id for one in before]:
            raise Conflict("Another installation came between; try again")
        # A registry of its own: one that follows SearchParameters of a transaction that is
        # undone must not be seen by others.
        apart = replace(server, in_force=InForce(server.in_force.registry))
        done = []
        for one in packages:
            met, faults = needed.met[one.label], judged[one.label]
            bringing = Bringing(apart, connection, caller, one, wishes[one.label], faults, met)
            done.append(await bringing.carry_out(by_label.get(one.label), tell))
        return done

    brought = await atomically(server.database, work)
    server.in_force.doubt()
    return brought


def _read(server: Server, path: Path, tell: Tell) -> Package:
    total = path.stat().st_size if path.is_file() else 0
    read_bytes = 0

    def advance(count: int) -> None:
        nonlocal read_bytes
        read_bytes += count
        tell("Reading", read_bytes, max(total, read_bytes))

    return read(path, server.settings.packages, advance)


def _offered(server: Server, folder: Path | None) -> dict[Path, Manifest]:
    """Return what the packages in a folder say of themselves."""
    configured = server.settings.packages.folder
    place = folder or (Path(configured) if configured else None)
    if place is None:
        return {}
    if not place.is_dir():
        raise BadRequest("The folder of packages is no directory")
    paths = [one for one in sorted(place.iterdir()) if _may_be_package(one)]
    return {one: said(one, server.settings.packages) for one in paths}


def _may_be_package(path: Path) -> bool:
    if path.is_dir():
        return (path / "package" / "package.json").is_file() or (path / "package.json").is_file()
    return path.name.endswith(_ARCHIVES)


def _versions(found: Sequence[Installed]) -> Mapping[str, list[str]]:
    versions: dict[str, list[str]] = {}
    for one in found:
        versions.setdefault(one.name, []).append(one.version)
    return versions


def _judged(server: Server, package: Package, wish: Wish, tell: Tell) -> list[Fault]:
    """Return the resources that are left out; Unprocessable unless that is wished."""
    items = judge.wanted(package, examples=wish.examples)
    found: list[Fault] = []
    for number, fault in enumerate(judge.faults(server, items), start=1):
        found += [fault] if fault else []
        tell("Checking", number, len(items))
    if not wish.lenient:
        judge.refuse(package.label, found)
    return found
