"""Text as data elements can hold it: repertoire and length of each VR.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_6.2
"""

import re
from collections.abc import Iterable

from adapters.dicom.dataset.attributes import clean

_LENGTHS = {"SH": 16, "LO": 64, "ST": 1024, "LT": 10240, "CS": 16, "AE": 16}
_LINES = re.compile(r"\s+")
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")


def text(vr: str, value: object) -> list[str]:
    """Return a description as the values of an element: cut to its length; none if empty.

    A backslash would separate values (PS3.5, 6.2) and becomes a slash.
    """
    plain = clean(str(value or ""))
    if vr not in {"LT", "ST"}:
        plain = _LINES.sub(" ", plain).replace("\\", "/")
    cut = plain[: _LENGTHS[vr]].strip()
    return [cut] if cut else []


def texts(vr: str, values: Iterable[object]) -> list[str]:
    """Return several descriptions, each once."""
    return list(dict.fromkeys(one for value in values for one in text(vr, value)))


def number(vr: str, value: object) -> list[str]:
    """Return an identifier as the values of an element, none where it does not fit.

    Half of an identifier is that of somebody else: it is never cut.
    """
    plain = clean(str(value or ""))
    fits = 0 < len(plain) <= _LENGTHS[vr] and "\\" not in plain
    return [plain] if fits else []


def code(value: object) -> list[str]:
    """Return a code string (CS), none where it is not one."""
    plain = clean(str(value or "")).upper()
    return [plain] if _CODE.fullmatch(plain) else []
