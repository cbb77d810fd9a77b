"""A growing delay after failed logins, of each account and of each address.

An attempt is counted before it is judged, so that many at once cost as much as many in turn,
and alike whether the account exists.

https://pages.nist.gov/800-63-4/sp800-63b.html#throttle
"""

from typing import Final

from fhir_server.database import Connection
from fhir_server.errors import Throttled
from fhir_server.identity_settings import IdentitySettings

SHARED: Final = 10
"""How many times as many failures an address has as an account: many people share one."""

# Failures older than a day are forgotten. Whoever has to wait is not counted again: else one
# who keeps trying would keep out whose account it is.
_COUNT: Final = """
INSERT INTO identity_attempt AS known (key, failed)
SELECT one, 1 FROM unnest(%(keys)s::bytea[]) AS one ORDER BY one
ON CONFLICT (key) DO UPDATE SET
  failed = CASE
    WHEN known.last_at < clock_timestamp() - interval '1 day' THEN 1 ELSE known.failed + 1 END,
  last_at = clock_timestamp(),
  blocked_until = CASE
    WHEN known.last_at < clock_timestamp() - interval '1 day' THEN NULL
    WHEN known.failed + 1 >= CASE WHEN known.key = %(account)s THEN %(free)s ELSE %(shared)s END
    THEN clock_timestamp() + make_interval(secs => least(%(longest)s, power(2, least(20,
      known.failed + 1 - CASE WHEN known.key = %(account)s THEN %(free)s ELSE %(shared)s END))))
    END
WHERE known.blocked_until IS NULL OR known.blocked_until <= clock_timestamp()
RETURNING key
"""
_WAIT: Final = """
SELECT coalesce(max(extract(epoch FROM blocked_until - clock_timestamp())), 0)
FROM identity_attempt WHERE key IN (%(account)s, %(address)s)
"""
_CLEAR: Final = """
WITH gone AS (DELETE FROM identity_attempt WHERE key = %(account)s)
UPDATE identity_attempt SET failed = greatest(0, failed - 1), blocked_until = NULL
WHERE key = %(address)s
"""


async def count(
    connection: Connection, settings: IdentitySettings, account: bytes, address: bytes
) -> None:
    """Count an attempt, until `clear` says that it was good; Throttled while none is judged."""
    values = {"account": account, "address": address}
    limits = {
        "keys": [account, address],
        "free": settings.attempts,
        "shared": settings.attempts * SHARED,
        "longest": settings.longest_wait_seconds,
    }
    async with connection.transaction():
        counted = await (await connection.execute(_COUNT, values | limits)).fetchall()
        if len(counted) == len({account, address}):
            return
        row = await (await connection.execute(_WAIT, values)).fetchone()
        seconds = max(1, round(float(row[0]) if row else 1))
        text = "Too many attempts to log in failed; wait a little and try again"
        raise Throttled(text, headers={"Retry-After": str(seconds)})


async def clear(connection: Connection, account: bytes, address: bytes) -> None:
    """Forget the failures of an account, and this attempt of the address."""
    await connection.execute(_CLEAR, {"account": account, "address": address})
