"""Language tags, by their grammar.

https://www.rfc-editor.org/rfc/rfc5646#section-2.1
"""

from terminology.code_system import Head, PropertyDefinition
from terminology.concepts import Concept, Property
from terminology.grammars.forms import GRANDFATHERED, PRIVATE_TAG, TAG
from terminology.grammars.grammar import GrammarCodeSystem

_PARTS = ("language", "script", "region", "variant", "extension", "private")


def read_tag(tag: str) -> Concept | None:
    """Return the concept of a tag in its usual case, its parts as properties; None for no tag."""
    if tag.lower() in GRANDFATHERED:
        return Concept(GRANDFATHERED[tag.lower()])
    if PRIVATE_TAG.fullmatch(tag):
        return Concept(tag.lower())
    found = TAG.fullmatch(tag)
    if found is None:
        return None
    parts = {name: (found[name] or "").strip("-").lower() for name in _PARTS}
    parts["script"] = parts["script"].capitalize()
    parts["region"] = parts["region"].upper()
    code = "-".join(part for part in parts.values() if part)
    properties = (Property(name, "valueString", part) for name, part in parts.items() if part)
    return Concept(code, properties=tuple(properties))


LANGUAGES = GrammarCodeSystem(
    Head(
        url="urn:ietf:bcp:47",
        name="LanguageTags",
        title="Tags for identifying languages (BCP 47)",
        case_sensitive=False,
        status="active",
        properties=tuple(PropertyDefinition(name) for name in _PARTS),
    ),
    read_tag,
)
