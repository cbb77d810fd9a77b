"""Language tags, by their grammar.

https://www.rfc-editor.org/rfc/rfc5646#section-2.1
"""

import re

from terminology.code_system import Head, PropertyDefinition
from terminology.concepts import Concept, Property
from terminology.grammars.grammar import GrammarCodeSystem

_TAG = re.compile(
    r"(?P<language>[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4}|[a-z]{5,8})"
    r"(?:-(?P<script>[a-z]{4}))?"
    r"(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variant>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
    r"(?P<extension>(?:-[a-wyz0-9](?:-[a-z0-9]{2,8})+)*)"
    r"(?P<private>-x(?:-[a-z0-9]{1,8})+)?",
    re.IGNORECASE,
)
_PRIVATE = re.compile(r"x(?:-[a-z0-9]{1,8})+", re.IGNORECASE)
# https://www.rfc-editor.org/rfc/rfc5646#section-2.2.8
_GRANDFATHERED = {
    tag.lower(): tag
    for tag in (
        *("en-GB-oed", "i-ami", "i-bnn", "i-default", "i-enochian", "i-hak", "i-klingon", "i-lux"),
        *("i-mingo", "i-navajo", "i-pwn", "i-tao", "i-tay", "i-tsu", "sgn-BE-FR", "sgn-BE-NL"),
        *("sgn-CH-DE", "art-lojban", "cel-gaulish", "no-bok", "no-nyn", "zh-guoyu", "zh-hakka"),
        *("zh-min", "zh-min-nan", "zh-xiang"),
    )
}
_PARTS = ("language", "script", "region", "variant", "extension", "private")


def read_tag(tag: str) -> Concept | None:
    """Return the concept of a tag in its usual case, its parts as properties; None for no tag."""
    if tag.lower() in _GRANDFATHERED:
        return Concept(_GRANDFATHERED[tag.lower()])
    if _PRIVATE.fullmatch(tag):
        return Concept(tag.lower())
    found = _TAG.fullmatch(tag)
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
