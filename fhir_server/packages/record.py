"""What is installed, and which resources came with it.

The tables `package` and `package_resource`; docs/decisions/0025.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from fhir_server.database import OWN, Connection
from fhir_server.packages.package import Package
from fhir_server.packages.placing import There

# Who installs or removes waits for the others who do.
_LOCK = 7_261_966


@dataclass(frozen=True, slots=True)
class Installed:
    """A package that is installed; `resources` counts those that are its files."""

    id: int
    name: str
    version: str
    canonical: str
    sha256: str | None
    content: str
    examples: bool
    dependencies: Mapping[str, str | None]
    installed_at: datetime
    installed_by: str
    resources: int

    @property
    def label(self) -> str:
        """Return `name#version`."""
        return f"{self.name}#{self.version}"


@dataclass(frozen=True, slots=True)
class Brought:
    """A file of a package in the store: key, type's id, id, the version it came as.

    `current` is the version there now, None where the resource was deleted; `brought`
    whether it came with this package, which `others` have too.
    """

    path: str
    key: int
    type_id: int
    id: str
    version: int
    current: int | None
    brought: bool
    others: bool


_INSTALLED = """
SELECT p.id, p.name, p.version, p.canonical, p.sha256, p.content, p.examples, p.dependencies,
       p.installed_at, p.installed_by,
       (SELECT count(*) FROM package_resource r WHERE r.package = p.id)
FROM package p ORDER BY p.name, p.installed_at, p.id
"""

_ADD = """
INSERT INTO package (name, version, canonical, sha256, content, examples, dependencies,
                     installed_by)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (name, version) DO UPDATE
SET canonical = excluded.canonical, sha256 = excluded.sha256, content = excluded.content,
    examples = excluded.examples, dependencies = excluded.dependencies,
    installed_by = excluded.installed_by, installed_at = now()
RETURNING id
"""

# A file that is put again keeps how it came.
_PUT = """
INSERT INTO package_resource (package, path, key, version, digest, brought)
SELECT %s, * FROM unnest(%s::text[], %s::bigint[], %s::int[], %s::bytea[], %s::bool[])
ON CONFLICT (package, path) DO UPDATE
SET key = excluded.key, version = excluded.version, digest = excluded.digest,
    brought = excluded.brought OR
              (package_resource.brought AND package_resource.key = excluded.key)
"""

_RESOURCES = """
SELECT p.path, p.key, r.type_id, r.id, p.version, CASE WHEN NOT r.deleted THEN r.version END,
       p.brought,
       EXISTS (SELECT FROM package_resource o WHERE o.key = p.key AND o.package <> p.package)
FROM package_resource p JOIN resource r ON r.key = p.key
WHERE p.package = %s ORDER BY p.path
"""

_DIGESTS = """
    ARRAY(SELECT p.digest FROM package_resource p
          WHERE p.key = r.key AND p.version = r.version) || r.content_hash
"""

# Each is found by its index term, however many resources there are.
_BY_TERM = f"""
SELECT q.term, r.key, r.id, r.version, {_DIGESTS}
FROM unnest(%s::bigint[]) AS q(term)
     CROSS JOIN LATERAL (SELECT t.key FROM terms t WHERE t.terms @> ARRAY[q.term] LIMIT 1000) AS t
     JOIN resource r ON r.key = t.key
WHERE r.key > 0 ORDER BY r.key
"""

_BY_ID = f"""
SELECT r.type_id, r.id, r.key, r.id, r.version, {_DIGESTS}
FROM unnest(%s::smallint[], %s::text[]) AS q(type_id, id) JOIN resource r USING (type_id, id)
WHERE NOT r.deleted
"""


async def lock(connection: Connection) -> None:
    """Be the only one who installs or removes packages, until the transaction ends."""
    await connection.execute(f"SELECT pg_advisory_xact_lock(%s # {OWN})", (_LOCK,))


async def installed(connection: Connection) -> list[Installed]:
    """Return the packages that are installed, by name and in the order they came."""
    cursor = await connection.execute(_INSTALLED)
    return [Installed(*row) for row in await cursor.fetchall()]


async def add(
    connection: Connection,
    package: Package,
    met: Mapping[str, str | None],
    who: str,
    *,
    examples: bool,
) -> int:
    """Record a package, anew where it is recorded, and return its number."""
    manifest = package.manifest
    values = (
        manifest.name,
        manifest.version,
        manifest.canonical,
        package.sha256,
        package.content,
        examples,
        Jsonb(dict(met)),
        who,
    )
    cursor = await connection.execute(_ADD, values)
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def put(
    connection: Connection, package: int, rows: Iterable[tuple[str, int, int, bytes, bool]]
) -> None:
    """Record files: path, key, version, digest, and whether the package brought it."""
    columns: Sequence[Any] = [list(column) for column in zip(*rows, strict=True)]
    if columns:
        await connection.execute(_PUT, (package, *columns))


async def resources(connection: Connection, package: int) -> list[Brought]:
    """Return the files of a package that are in the store."""
    cursor = await connection.execute(_RESOURCES, (package,))
    return [Brought(*row) for row in await cursor.fetchall()]


async def hand_over(connection: Connection, package: int, keys: Sequence[int]) -> None:
    """Let the other packages that have these resources be those that brought them."""
    await connection.execute(
        "UPDATE package_resource SET brought = true WHERE package <> %s AND key = ANY(%s)",
        (package, list(keys)),
    )


async def forget(connection: Connection, package: int, paths: Sequence[str] | None = None) -> None:
    """Remove the record of some files, or of the package."""
    if paths is None:
        await connection.execute("DELETE FROM package WHERE id = %s", (package,))
    else:
        await connection.execute(
            "DELETE FROM package_resource WHERE package = %s AND path = ANY(%s)",
            (package, list(paths)),
        )


async def by_term(connection: Connection, terms: Sequence[int]) -> dict[int, list[There]]:
    """Return the resources that have each of these index terms."""
    # However few the resources were when PostgreSQL last counted them.
    await connection.execute("SET LOCAL enable_seqscan = off")
    cursor = await connection.execute(_BY_TERM, (list(terms),))
    await connection.execute("SET LOCAL enable_seqscan = on")
    found: dict[int, list[There]] = {}
    for term, *row in await cursor.fetchall():
        found.setdefault(term, []).append(_there(row))
    return found


async def by_id(
    connection: Connection, places: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], There]:
    """Return the resources at these (type id, id) that are not deleted."""
    columns = ([type_id for type_id, _ in places], [id_ for _, id_ in places])
    cursor = await connection.execute(_BY_ID, columns)
    return {(type_id, id_): _there(row) for type_id, id_, *row in await cursor.fetchall()}


def _there(row: Sequence[Any]) -> There:
    key, id_, version, digests = row
    return There(key, id_, version, frozenset(map(bytes, digests)))
