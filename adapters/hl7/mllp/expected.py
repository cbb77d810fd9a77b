"""The next sequence numbers of a channel's senders.

HL7 v2.9 chapter 2, section 2.10.1.
"""

from typing import Final

from fhir_server.database import Database

_LAST: Final = """
SELECT DISTINCT ON (sender) sender, sequence FROM hl7_message
WHERE channel = %s AND sequence IS NOT NULL ORDER BY sender, id DESC
"""


class Expected:
    """What the inbox holds of the numbers, and in `numbers` what follows them by sender."""

    def __init__(self, database: Database, channel: str) -> None:
        self._database = database
        self._channel = channel
        self._loaded = False
        self.numbers: dict[str, int] = {}

    async def load(self) -> None:
        """Read the numbers, if they are not known; Unavailable where that is not possible."""
        if self._loaded:
            return
        async with self._database.connection() as connection:
            cursor = await connection.execute(_LAST, (self._channel,))
            found = await cursor.fetchall()
        if not self._loaded:
            self.numbers.clear()
            self.numbers.update({sender: number + 1 for sender, number in found})
            self._loaded = True

    def forget(self) -> None:
        """Read them again before the next message: what was counted may not be stored."""
        self._loaded = False
