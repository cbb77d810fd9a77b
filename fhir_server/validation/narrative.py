"""Narrative: the XHTML that R4 allows, and nothing that a browser would run.

https://hl7.org/fhir/R4/narrative.html#xhtml
"""

import re
from dataclasses import dataclass
from html.entities import name2codepoint
from xml.parsers import expat

import jsonschema_rs

from fhir_server.r4.xml.narrative import with_numbers

_NAMESPACE = "http://www.w3.org/1999/xhtml"
_XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
_SEPARATOR = " "

# fmt: off
_ELEMENTS = frozenset(
    (
        "div", "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "a", "span", "b", "em", "i",
        "strong", "small", "big", "tt", "dfn", "q", "var", "abbr", "acronym", "cite",
        "blockquote", "address", "ul", "ol", "li", "dl", "dt", "dd", "pre", "table", "caption",
        "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td", "code", "samp", "kbd",
        "img", "map", "area", "sub", "sup",
    )
)
_PLAIN_ATTRIBUTES = frozenset(
    (
        "id", "class", "title", "lang", "dir", "style", "accesskey", "tabindex", "name", "alt",
        "height", "width", "shape", "coords", "summary", "border", "frame", "rules",
        "cellspacing", "cellpadding", "align", "valign", "char", "charoff", "span", "abbr",
        "axis", "headers", "scope", "rowspan", "colspan", "start", "type", "value", "nowrap",
        "bgcolor",
    )
)
# fmt: on
_LINK_ATTRIBUTES = frozenset(("href", "src", "cite", "usemap", "longdesc"))
_RUNNING_SCHEME = re.compile(r"(?:javascript|vbscript):|data:(?!image/(?!svg))", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x20]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a narrative is refused: an issue code and a text for a person."""

    code: str
    text: str


def problem(div: str) -> Problem | None:
    """Return what is wrong with the XHTML of a narrative, None when it is good."""
    if _PLAIN.is_valid(div) and _is_well_formed(div):
        return None
    if "<!DOCTYPE" in div:
        # Not parsed at all: entities declared here could grow without bound.
        return Problem("security", "The narrative must not declare a document type")
    return _Reader().read(div)


def has_content(div: str) -> bool:
    """Return whether the narrative has a character that is no whitespace, or an image (txt-2)."""
    return _CONTENT.search(div) is not None


def _is_well_formed(div: str) -> bool:
    try:
        expat.ParserCreate().Parse(div, True)
    except expat.ExpatError:
        return False
    return True


def _plain_pattern() -> str:
    """Return a pattern of narratives that need no closer look.

    Most of them match, in a tenth of the time that a parser with callbacks
    takes. Everything that it does not name, such as a link by a rare scheme, a
    comment or a named entity, is left to the parser.
    """
    plain = "|".join(sorted(_PLAIN_ATTRIBUTES))
    links = "|".join(sorted(_LINK_ATTRIBUTES))
    safe = r"""(?:(?:https?|mailto):[^"<]*|data:image/(?:png|gif|jpeg)[^"<]*|[\w./#][^":<&]*)"""
    attribute = rf"""(?:(?:{plain}|xml:lang)="[^"<]*"|(?:{links})="{safe}")"""
    space = r"[\t\n\r ]"
    attributes = rf"(?:{space}+{attribute})*"
    elements = "|".join(sorted(_ELEMENTS))
    text = r"[^<&]|&(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9A-Fa-f]+);"
    tag = rf"<(?:{elements}){attributes}{space}*/?>|</(?:{elements}){space}*>"
    root = rf"""<div{attributes}{space}+xmlns="{_NAMESPACE}"{attributes}{space}*>"""
    return rf"^{root}(?:{text}|{tag})*</div>$"


_PLAIN = jsonschema_rs.Draft202012Validator(
    {"pattern": _plain_pattern()}, pattern_options=jsonschema_rs.RegexOptions()
)


# Possessive, so that the whitespace of a large empty narrative is read once.
_CONTENT = re.compile(r">\s*+[^\s<]|<(?:\w+:)?(?:img|map)\b")


class _Reader:
    """One parse of one narrative; the first problem found stays."""

    def __init__(self) -> None:
        self.found: Problem | None = None
        self.depth = 0
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.ProcessingInstructionHandler = self.instruction
        self.parser = parser

    def read(self, div: str) -> Problem | None:
        try:
            self.parser.Parse(with_numbers(div), True)
        except expat.ExpatError:
            self.refuse("invalid", "The narrative is not well-formed XML")
        return self.found

    def refuse(self, code: str, text: str) -> None:
        self.found = self.found or Problem(code, text)

    def instruction(self, *_: object) -> None:
        self.refuse("invalid", "The narrative must not have processing instructions")

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        namespace, _, name = qualified.rpartition(_SEPARATOR)
        if self.depth == 0 and (name, namespace) != ("div", _NAMESPACE):
            self.refuse("invalid", f"The narrative is not a div in the namespace {_NAMESPACE}")
        elif namespace != _NAMESPACE or name not in _ELEMENTS:
            self.refuse("security", "The narrative has an element that is not allowed")
        self.depth += 1
        for attribute, value in attributes.items():
            self.attribute(attribute, value)

    def end(self, _: str) -> None:
        self.depth -= 1

    def attribute(self, name: str, value: str) -> None:
        if name in _LINK_ATTRIBUTES:
            if _RUNNING_SCHEME.match(_CONTROLS.sub("", value)):
                self.refuse("security", "The narrative has a link that would run")
        elif name not in _PLAIN_ATTRIBUTES and name != f"{_XML_NAMESPACE}{_SEPARATOR}lang":
            self.refuse("security", "The narrative has an attribute that is not allowed")


def _as_number(entity: re.Match[str]) -> str:
    """HTML's named entities are no XML; they are harmless and common, so they are let in."""
    name = entity[1]
    if name in {"amp", "lt", "gt", "quot", "apos"} or name not in name2codepoint:
        return entity[0]
    return f"&#{name2codepoint[name]};"
