"""The profiles that serve, and those that ever did, as the database keeps them.

A message's row names the fingerprint of its profile, which leads to its text here; after
a restart the last good version serves on for a file that is broken.
"""

from collections.abc import Collection
from typing import Final

from psycopg.types.json import Jsonb

from adapters.hl7.profiles.directory import Directory
from adapters.hl7.profiles.read import Unusable, read
from fhir_server.database import Connection, Database

_SERVED: Final = """
INSERT INTO hl7_profile (name, fingerprint, version, sender, content) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (name, fingerprint) DO UPDATE SET served_at = now()
"""
_STATE: Final = """
INSERT INTO hl7_profile_state (name, fingerprint, problems) VALUES (%s, %s, %s)
ON CONFLICT (name) DO UPDATE SET fingerprint = excluded.fingerprint,
    problems = excluded.problems, changed_at = now()
"""
_GONE: Final = "DELETE FROM hl7_profile_state WHERE name <> ALL(%s)"
_LAST: Final = """
SELECT content FROM hl7_profile WHERE name = %s ORDER BY served_at DESC LIMIT 1
"""


async def record(database: Database, directory: Directory, changed: Collection[str]) -> None:
    """Write down what serves since files changed; what is broken from the start falls back."""
    async with database.transaction() as connection:
        for name in sorted(set(changed) & directory.files.keys()):
            await _fall_back(connection, directory, name)
        directory.gather()
        for name in sorted(set(changed) & directory.files.keys()):
            await _write(connection, directory, name)
        await connection.execute(_GONE, (list(directory.files),))


async def _fall_back(connection: Connection, directory: Directory, name: str) -> None:
    file = directory.files[name]
    if file.loaded is not None:
        return
    row = await (await connection.execute(_LAST, (name,))).fetchone()
    if row is None:
        return
    try:
        file.loaded = read(f"{name}.toml", row[0].encode())
    except Unusable:  # an older release took it, this one does not
        return


async def _write(connection: Connection, directory: Directory, name: str) -> None:
    file, loaded = directory.files[name], directory.files[name].loaded
    if loaded is not None and not file.problems:
        values = (name, loaded.fingerprint, loaded.profile.version, loaded.sender, loaded.text)
        await connection.execute(_SERVED, values)
    told = [str(one) for one in directory.profiles.problems if one.file == f"{name}.toml"]
    fingerprint = loaded.fingerprint if loaded else None
    await connection.execute(_STATE, (name, fingerprint, Jsonb(told)))
