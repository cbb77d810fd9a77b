"""What values mean on this server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import cache
from zoneinfo import ZoneInfo

from fhir_server.config import SearchSettings

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

    @classmethod
    def of(cls, settings: SearchSettings, bases: tuple[str, ...]) -> "Context":
        """Return the context that the settings and the server's base URLs make."""
        return cls(
            zone=zone(settings.timezone),
            bases=bases,
            exponent_by_digits=settings.exponent_precision == "digits",
        )


@cache
def zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name."""
    return UTC if name == "UTC" else ZoneInfo(name)
