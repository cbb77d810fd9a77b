"""What values mean on this server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.config import SearchSettings

DEFAULT_SECRET = b"sangam search terms"


@dataclass(frozen=True, slots=True)
class Context:
    """Keys of the terms and of page links, zone of dates without an offset, local base URLs.

    `bases` end without a slash. `type_ids` numbers the resource types.
    `case_sensitive` are the code systems known to tell codes apart by case.
    `near_km` is how far
    off a place is near; `full_text` whether the words of resources are indexed, and
    `text_language` in which language they lose their endings; `contained` whether
    chains look into contained resources. `most_kept` is how much there is in `kept` at most.
    """

    secret: bytes = DEFAULT_SECRET
    page_key: bytes = DEFAULT_SECRET
    zone: tzinfo = UTC
    bases: tuple[str, ...] = ()
    type_ids: Mapping[str, int] = field(default_factory=dict)
    case_sensitive: frozenset[str] = frozenset()
    exponent_by_digits: bool = False
    near_km: float = 50
    full_text: bool = True
    text_language: str = "simple"
    contained: bool = True
    most_kept: int = 1 << 13
    written: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The rows of values that come again and again (`Rows.repeat`)."""
    kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What elements add that came again, and hashes of those that came at all (`kept.py`)."""
    seen: set[int] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, settings: SearchSettings, bases: tuple[str, ...]) -> "Context":
        """Return the context that the settings and the server's base URLs make."""
        return cls(
            zone=zone(settings.timezone),
            bases=bases,
            exponent_by_digits=settings.exponent_precision == "digits",
            near_km=settings.near_km,
            full_text=settings.full_text,
            text_language=settings.text_language,
            contained=settings.chains_into_contained,
        )


@cache
def zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name."""
    return UTC if name == "UTC" else ZoneInfo(name)
