"""Resources already read, kept by their content.

Clients send the same resources along with each of many requests (tx-resource).
"""

from hashlib import sha256

import msgspec

from terminology.code_system import CodeSystem
from terminology.code_system_resource import read_code_system
from terminology.concept_map import ConceptMap, read_concept_map
from terminology.concepts import Json
from terminology.issues import bad_request
from terminology.recent import Recent
from terminology.value_set import ValueSet, read_value_set

Reading = CodeSystem | ValueSet | ConceptMap


def read(resource: Json) -> Reading:
    """What a CodeSystem, ValueSet or ConceptMap says; Refusal 400 for anything else."""
    match resource.get("resourceType"):
        case "CodeSystem":
            return read_code_system(resource)
        case "ValueSet":
            return read_value_set(resource)
        case "ConceptMap":
            return read_concept_map(resource)
    raise bad_request("only CodeSystem, ValueSet and ConceptMap can be taken")


class Readings:
    """The latest readings by the hash of their resource; whose bytes exceed `most` go first."""

    def __init__(self, most: int = 20_000_000) -> None:
        """`most` is the size in bytes of all resources kept, written as JSON."""
        self._kept: Recent[bytes, Reading] = Recent(most)

    def read(self, resource: Json) -> Reading:
        """What the resource says, read once for the same content."""
        written = msgspec.json.encode(resource)
        key = sha256(written).digest()
        found = self._kept.get(key)
        if found is None:
            found = read(resource)
            self._kept.put(key, found, len(written))
        return found
