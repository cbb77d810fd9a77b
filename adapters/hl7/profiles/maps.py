"""The ConceptMaps that translate a sender's codes, as they are stored.

Each is of one sender and field: `{base}/ConceptMap/hl7-{sender}-{field}`, from local
systems to others. An element without a target says that there is no translation.

https://hl7.org/fhir/R4/conceptmap.html
"""

import logging
from collections.abc import Mapping
from typing import Final

from adapters.hl7.mapping.sender_rules import Codes, Translation
from fhir_server.server import Server
from terminology.concept_map import ConceptMap, Target
from terminology.issues import Refusal

FIELDS: Final = ("OBX-3", "OBX-5", "OBX-6", "OBR-4", "SPM-4")
_MEANT: Final = frozenset(("equal", "equivalent", "wider", "subsumes"))

_log = logging.getLogger(__name__)


def url_of(base: str, sender: str, field: str) -> str:
    """Return the url of the ConceptMap for a field of a sender."""
    return f"{base}/ConceptMap/hl7-{sender}-{field}"


async def stored(server: Server, base: str, sender: str) -> Mapping[str, Codes]:
    """Return the translations that are stored for a sender, by field."""
    library = await server.vocabulary.present()
    found: dict[str, Codes] = {}
    for field in FIELDS:
        try:
            maps = await library.concept_maps(url_of(base, sender, field), None)
        except Refusal:
            _log.error("The ConceptMap of %s %s cannot be read and is left out", sender, field)
            continue
        if codes := _codes([one for one in maps if one.status == "active"]):
            found[field] = codes
    return found


def _codes(maps: list[ConceptMap]) -> Codes:
    codes: dict[tuple[str, str], tuple[Translation, ...]] = {}
    for one in maps:
        for group in one.groups:
            for code, targets in group.elements.items():
                key = (group.source or "", code)
                meant = tuple(_translation(group.target or "", target) for target in targets)
                codes[key] = codes.get(key, ()) + tuple(filter(None, meant))
    return codes


def _translation(system: str, target: Target) -> Translation | None:
    """Return what a code means; what is narrower, or only near to it, it does not mean."""
    if not system or not target.code or target.equivalence not in _MEANT:
        return None
    return Translation(system, target.code, target.display or "")
