"""The Native DICOM Model: what is JSON elsewhere, in XML.

https://dicom.nema.org/medical/dicom/current/output/html/part19.html#sect_A.1
"""

import re
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from adapters.dicom.dataset.identifier import keyword
from adapters.dicom.web.model import Json

_NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
# XML 1.0 cannot hold these, however they are written.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


def native(data_set: Json) -> bytes:
    """Return the XML document of a data set in the DICOM JSON model."""
    body = "".join(_elements(data_set))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<NativeDicomModel xmlns="{_NAMESPACE}" xml:space="preserve">{body}</NativeDicomModel>'
    ).encode()


def _elements(data_set: Json) -> Iterator[str]:
    for tag, element in data_set.items():
        name = keyword(int(tag, 16))
        said = f" keyword={quoteattr(name)}" if name else _creator(tag, data_set)
        yield f'<DicomAttribute tag="{tag}" vr="{element["vr"]}"{said}>'
        yield from _content(element)
        yield "</DicomAttribute>"


def _creator(tag: str, data_set: Json) -> str:
    """Return who defined a private element, as an attribute (PS3.5, 7.8.1)."""
    block = data_set.get(f"{tag[:4]}00{tag[4:6]}", {})
    values = block.get("Value") or ()
    return f" privateCreator={quoteattr(_legal(str(values[0])))}" if values else ""


def _content(element: Json) -> Iterator[str]:
    if "BulkDataURI" in element:
        yield f"<BulkData uri={quoteattr(element['BulkDataURI'])}/>"
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    for number, value in enumerate(element.get("Value", ()), 1):
        if element["vr"] == "SQ":
            yield f'<Item number="{number}">{"".join(_elements(value))}</Item>'
        elif element["vr"] == "PN" and value:
            yield f'<PersonName number="{number}">{"".join(_name(value))}</PersonName>'
        elif value is not None:
            yield f'<Value number="{number}">{_text(value)}</Value>'


def _name(value: Json) -> Iterator[str]:
    for group in _GROUPS:
        if group in value:
            parts = zip(_PARTS, value[group].split("^"), strict=False)
            inner = "".join(f"<{name}>{_text(part)}</{name}>" for name, part in parts if part)
            yield f"<{group}>{inner}</{group}>"


def _text(value: Any) -> str:  # noqa: ANN401  (text or number)
    return escape(_legal(str(value)))


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
