"""An XML parser without document types, entities, instructions and anything external.

https://hl7.org/fhir/R4/xml.html
"""

from typing import NoReturn
from xml.parsers import expat

from fhir_server.errors import BadRequest

SEPARATOR = " "


def guarded() -> expat.XMLParserType:
    """Return a parser of UTF-8 that gives names as `namespace name`.

    What it must not meet raises BadRequest where it begins, before any of it is used.
    """
    parser = expat.ParserCreate("utf-8", SEPARATOR)
    parser.buffer_text = True
    parser.XmlDeclHandler = _declaration
    parser.StartDoctypeDeclHandler = _document_type
    parser.ProcessingInstructionHandler = _instruction
    return parser


def parse(parser: expat.XMLParserType, raw: bytes) -> None:
    """Parse the whole text; BadRequest (code `structure`) unless it is well-formed."""
    # The parser would detect UTF-16, whatever encoding it was told.
    if b"\0" in raw:
        raise refusal("XML must be in UTF-8")
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        place = f"line {error.lineno}, column {error.offset}"
        raise refusal(f"The text is not well-formed XML ({place})") from None


def refusal(text: str, expression: str | None = None) -> BadRequest:
    """Return the error for a text that has not the form of a resource."""
    return BadRequest(text, code="structure", expression=expression)


def _declaration(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.upper() != "UTF-8":
        raise refusal("XML must be in UTF-8")


def _document_type(*_: object) -> NoReturn:
    raise refusal("XML must not have a document type")


def _instruction(*_: object) -> NoReturn:
    raise refusal("XML must not have processing instructions")
