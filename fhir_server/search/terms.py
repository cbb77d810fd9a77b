"""Terms: keyed 64-bit hashes under which a resource is found exactly.

A term stands for (parameter, form, value...). The key makes collisions
impossible to craft; a random one among 10^9 distinct terms has odds of 1 to
10^10 for a query, which is why access decisions never rest on terms.
"""

from functools import lru_cache
from hashlib import blake2b

SEPARATOR = "\x1f"
"""Stands between the parts; FHIR strings hold no control characters but tab and line ends."""


@lru_cache(maxsize=1 << 16)
def term(secret: bytes, scope: int, form: str, *values: str) -> int:
    """Return the signed 64-bit term of `values` in this form of the parameter `scope`."""
    text = SEPARATOR.join((str(scope), form, *values))
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=secret).digest()
    return int.from_bytes(digest, "little", signed=True)


def part(secret: bytes, parameter: int, *names: str) -> int:
    """Return the scope of range rows that belong to a part of a parameter.

    Its absolute value is at least 2^31, so that it never equals a parameter's id.
    """
    value = term(secret, parameter, "part", *names)
    return value if abs(value) >= 1 << 31 else value + (1 << 32)
