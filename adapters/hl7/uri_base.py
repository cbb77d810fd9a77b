"""How the systems and keys that are made here begin."""

from typing import Final

from fhir_server.server import Server

_PIN: Final = "INSERT INTO hl7_installation (id, uri_base) VALUES (1, %s) ON CONFLICT DO NOTHING"
_PINNED: Final = "SELECT uri_base FROM hl7_installation WHERE id = 1"


async def uri_base(server: Server) -> str:
    """Return the start of the systems and keys that are made here.

    Without a setting they begin for ever with the base URL that the server had when it
    was first asked for: under another one, nothing that was written before would be found.
    """
    said = server.settings.hl7.uri_base.rstrip("/")
    if said:
        return said
    async with server.database.statement() as connection:
        await connection.execute(_PIN, (server.base,))
        cursor = await connection.execute(_PINNED)
        row = await cursor.fetchone()
    assert row is not None
    return str(row[0])
