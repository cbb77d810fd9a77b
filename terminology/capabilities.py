"""What the library can do, as a TerminologyCapabilities resource.

https://hl7.org/fhir/R4/terminologycapabilities.html
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from terminology.concepts import Json

EXPANSION_PARAMETERS = (
    "activeOnly",
    "check-system-version",
    "count",
    "date",
    "default-valueset-version",
    "designation",
    "displayLanguage",
    "exclude-system",
    "excludeNested",
    "excludeNotForUI",
    "excludePostCoordinated",
    "filter",
    "force-system-version",
    "includeDefinition",
    "includeDesignations",
    "limit",
    "offset",
    "property",
    "system-version",
    "tx-resource",
    "url",
    "useSupplement",
    "valueSet",
    "valueSetVersion",
    "versionsMatch",
)


def terminology_capabilities(
    systems: Mapping[str, Sequence[str]], version: str, now: datetime
) -> Json:
    """The resource; `systems` are the known versions by url, `version` is the software's."""
    listed = [
        {"uri": url, **({"version": [{"code": one} for one in known]} if known else {})}
        for url, known in systems.items()
    ]
    return {
        "resourceType": "TerminologyCapabilities",
        "version": version,
        "name": "SangamTerminologyCapabilities",
        "title": "Sangam terminology capabilities",
        "status": "active",
        "date": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "kind": "instance",
        "codeSearch": "all",
        **({"codeSystem": listed} if listed else {}),
        "expansion": {
            "hierarchical": True,
            "paging": True,
            "incomplete": False,
            "parameter": [{"name": name} for name in EXPANSION_PARAMETERS],
            "textFilter": "every word typed begins a word of the display or of a designation",
        },
        "validateCode": {"translations": True},
        "translation": {"needsMap": False},
    }
