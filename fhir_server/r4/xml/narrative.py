"""The XHTML of a narrative, which JSON holds as a text and XML as elements.

https://hl7.org/fhir/R4/narrative.html
"""

import re
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


class Copy:
    """An XHTML element written anew as it is parsed, with its namespace as the default."""

    __slots__ = ("_open", "_parts", "depth")

    def __init__(self) -> None:
        self.depth = 0
        self._parts: list[str] = []
        self._open = False

    def start(self, qualified: str, attributes: dict[str, str]) -> None:
        """Take a start tag; BadRequest for what is not XHTML."""
        namespace, _, name = qualified.rpartition(SEPARATOR)
        if namespace != XHTML:
            raise refusal("A narrative must be in the namespace of XHTML")
        self._close()
        declared = "" if self.depth else f' xmlns="{XHTML}"'
        written = "".join(_attribute(*pair) for pair in attributes.items())
        self._parts.append(f"<{name}{declared}{written}")
        self._open = True
        self.depth += 1

    def end(self, qualified: str) -> None:
        """Take an end tag."""
        self.depth -= 1
        if self._open:
            self._open = False
            self._parts.append("/>")
        else:
            self._parts.append(f"</{qualified.rpartition(SEPARATOR)[2]}>")

    def characters(self, text: str) -> None:
        """Take text."""
        self._close()
        self._parts.append(escape(text))

    def text(self) -> str:
        """Return the element."""
        return "".join(self._parts)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._parts.append(">")


def _attribute(name: str, value: str) -> str:
    if name == _XML_LANG:
        name = "xml:lang"
    elif SEPARATOR in name:
        raise refusal("A narrative must be in the namespace of XHTML")
    return f" {name}={quoteattr(value, {chr(13): '&#13;'})}"
