"""What is stored of what messages name, as one transaction sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from adapters.hl7.mapping.context import Json

MOST_MERGES: Final = 20
"""A chain of merges is followed so far; a merge refuses circles (MERGE_CYCLE)."""

Named: TypeAlias = tuple[str, str]
"""A resource type and an identifier as a token (datatypes/hd)."""


class Present(Protocol):
    """The current version of a resource."""

    @property
    def version(self) -> int:
        """Its number."""

    def resource(self) -> Json:
        """Return the resource, numbers with their digits."""


@dataclass(slots=True)
class Snapshot:
    """The ids that have an identifier, and current resources by their reference."""

    ids: Mapping[Named, tuple[str, ...]]
    held: dict[str, Present]
    _parsed: dict[str, Json] = field(default_factory=dict)

    def references(self, kind: str, token: str) -> list[str]:
        """Return what of a type has the identifier, a merged Patient as its survivor."""
        found = (f"{kind}/{id_}" for id_ in self.ids.get((kind, token), ()))
        whole = (self.survivor(one) for one in found)
        return list(dict.fromkeys(one for one in whole if one in self.held))

    def resource(self, reference: str) -> Json | None:
        """Return what lies there, None where nothing does; it is not to be changed."""
        found = self._parsed.get(reference)
        if found is None and reference in self.held:
            found = self._parsed[reference] = self.held[reference].resource()
        return found

    def version(self, reference: str) -> int:
        """Return the version that lies there."""
        return self.held[reference].version

    def survivor(self, reference: str) -> str:
        """Return where a Patient went that was merged, else the reference itself."""
        for _ in range(MOST_MERGES):
            following = self.replaced_by(reference)
            if not following:
                break
            reference = following
        return reference

    def replaced_by(self, reference: str) -> str:
        """Return the Patient that took the place of this one, "" where none did."""
        if not reference.startswith("Patient/"):
            return ""
        for link in (self.resource(reference) or {}).get("link", ()):
            if link.get("type") == "replaced-by":
                return str(link.get("other", {}).get("reference", ""))
        return ""
