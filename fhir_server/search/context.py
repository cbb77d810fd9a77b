"""What values mean on this server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

DEFAULT_SECRET = b"sangam search terms"


@dataclass(frozen=True, slots=True)
class Context:
    """Key of the terms, zone of dates without an offset, base URLs that are local.

    `bases` end without a slash. `type_ids` numbers the resource types.
    `case_sensitive` are the code systems known to tell codes apart by case.
    """

    secret: bytes = DEFAULT_SECRET
    zone: tzinfo = UTC
    bases: tuple[str, ...] = ()
    type_ids: Mapping[str, int] = field(default_factory=dict)
    case_sensitive: frozenset[str] = frozenset()
    exponent_by_digits: bool = False
