"""Search parameters as the server knows them.

https://hl7.org/fhir/R4/searchparameter.html
"""

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a composite: its parameter's code and type, a path relative to the element.

    `target` are the types that it may refer to.
    """

    code: str
    type: str
    expression: str
    target: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of one resource type.

    `id` is stable across versions of the server: 31 bits of a hash of
    `Type.code`. `target` are the types that a reference may point to.
    """

    id: int
    base: str
    code: str
    type: str
    url: str
    expression: str
    target: tuple[str, ...] = ()
    component: tuple[Component, ...] = ()


def parameter_id(base: str, code: str) -> int:
    """Return the id of `base.code`: 1 to 2^31 - 1."""
    digest = blake2b(f"{base}.{code}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") & 0x7FFF_FFFF or 1
