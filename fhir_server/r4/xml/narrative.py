"""The XHTML of a narrative, which JSON holds as a text and XML as elements.

https://hl7.org/fhir/R4/narrative.html
"""

import re
from collections.abc import Mapping
from html.entities import name2codepoint
from xml.sax.saxutils import escape, quoteattr

from fhir_server.errors import BadRequest
from fhir_server.r4.xml.parser import SEPARATOR, guarded, parse, refusal
from fhir_server.r4.xml.shape import XHTML

_ROOT = f"{XHTML}{SEPARATOR}div"
_XML_LANG = f"http://www.w3.org/XML/1998/namespace{SEPARATOR}lang"
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_OF_XML = frozenset(("amp", "lt", "gt", "quot", "apos"))
_DECLARATION = b"<?xml"


def stands_alone(div: bytes) -> bool:
    """Whether this is one XHTML div that needs no namespace from around it."""
    roots: list[str] = []
    parser = guarded()

    def root(name: str, _: object) -> None:
        roots.append(name)
        parser.StartElementHandler = None

    parser.StartElementHandler = root
    try:
        parse(parser, div)
    except BadRequest:
        return False
    return roots == [_ROOT] and not div.startswith(_DECLARATION)


def with_numbers(div: str) -> str:
    """Return the XHTML with `&nbsp;` and its like as numbers: XML knows no names for them."""
    return _ENTITY.sub(_as_number, div)


def _as_number(entity: re.Match[str]) -> str:
    name = entity[1]
    if name in _OF_XML or name not in name2codepoint:
        return entity[0]
    return f"&#{name2codepoint[name]};"


def standing_alone(div: bytes, scope: Mapping[str, str]) -> str:
    """Return the XHTML element without prefixes, its namespace as the default.

    `scope` has the namespace of each prefix (empty for the default) that is
    declared around it. BadRequest for what is not XHTML.
    """
    declared = "".join(f" {_declared(*pair)}" for pair in scope.items())
    copy = _Copy()
    parser = guarded()
    parser.StartElementHandler = copy.start
    parser.EndElementHandler = copy.end
    parser.CharacterDataHandler = copy.characters
    parse(parser, b"<around%s>%s</around>" % (declared.encode(), div))
    return "".join(copy.parts)


def _declared(prefix: str, namespace: str) -> str:
    return f"xmlns{prefix and ':'}{prefix}={quoteattr(namespace)}"


class _Copy:
    """An element written anew, inside of one that is left away."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.depth = 0
        self.unclosed = False

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth == 1:
            return
        namespace, _, name = qualified.rpartition(SEPARATOR)
        if namespace != XHTML:
            raise refusal("A narrative must be in the namespace of XHTML")
        self.close()
        declared = f' xmlns="{XHTML}"' if not self.parts else ""
        written = "".join(_attribute(*pair) for pair in attributes.items())
        self.parts.append(f"<{name}{declared}{written}")
        self.unclosed = True

    def end(self, qualified: str) -> None:
        self.depth -= 1
        if self.depth == 0:
            return
        tag = "/>" if self.unclosed else f"</{qualified.rpartition(SEPARATOR)[2]}>"
        self.parts.append(tag)
        self.unclosed = False

    def characters(self, text: str) -> None:
        self.close()
        self.parts.append(escape(text))

    def close(self) -> None:
        if self.unclosed:
            self.unclosed = False
            self.parts.append(">")


def _attribute(name: str, value: str) -> str:
    if name == _XML_LANG:
        name = "xml:lang"
    elif SEPARATOR in name:
        raise refusal("A narrative must be in the namespace of XHTML")
    return f" {name}={quoteattr(value, {chr(13): '&#13;'})}"
