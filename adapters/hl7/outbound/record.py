"""Resources that belong together, found by their references."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """What a message is made of; `others` are by literal reference (`Patient/1`)."""

    others: Mapping[str, Json] = field(default_factory=dict)

    def get(self, reference: Json | None, within: Json | None = None) -> Json | None:
        """Return what a Reference leads to, None where that is not here.

        `within` is the resource that has it, which may contain what it speaks of.
        """
        literal = str((reference or {}).get("reference", ""))
        if literal.startswith("#") and within is not None:
            held = within.get("contained", ())
            return next((one for one in held if one.get("id") == literal[1:]), None)
        return self.others.get(literal.partition("/_history/")[0])

    def all(self, references: Any, within: Json | None = None) -> Iterator[Json]:  # noqa: ANN401  (JSON)
        """Yield what these References lead to, without what is not here."""
        for one in references or ():
            if (found := self.get(one, within)) is not None:
                yield found


def literal(resource: Json) -> str:
    """Return the reference to a resource."""
    return f"{resource['resourceType']}/{resource['id']}"


def extension(element: Json | None, url: str) -> Json | None:
    """Return the first extension with this URL."""
    told = (element or {}).get("extension", ())
    return next((one for one in told if one.get("url") == url), None)
