"""A project: what stands for identifiers and dates in all that is exported for it.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_E.3.9
"""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from adapters.dicom.dataset.datetimes import day
from adapters.dicom.deidentification.profile import FULL_DATES, UIDS

KEY_BYTES = 32
_REGISTERED = "1.2.840.10008."
_UID_BYTES = 16
_PSEUDONYM_BYTES = 6
_LONGEST_SHIFT = 365
_DATE = re.compile(r"\d{4}\.?\d{2}\.?\d{2}", re.ASCII)
_DATE_TIME = re.compile(r"(\d{8})(.*)", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Project:
    """The key from which everything follows, and the options of the profile."""

    name: str
    key: bytes
    options: frozenset[str] = frozenset()

    def uid(self, old: str) -> str:
        """Return what stands for a UID; those of the standard's registry stay."""
        if not old or old.startswith(_REGISTERED) or UIDS in self.options:
            return old
        return f"2.25.{int.from_bytes(self._mac('uid', old)[:_UID_BYTES], 'big')}"

    def pseudonym(self, patient: str) -> str:
        """Return what stands for a patient's ID and name."""
        return f"P{self._mac('patient', patient)[:_PSEUDONYM_BYTES].hex().upper()}"

    def shift(self, patient: str) -> int:
        """Return the days, -365 to -1, by which all dates of a patient move; 0 if they stay."""
        if FULL_DATES in self.options:
            return 0
        return -1 - int.from_bytes(self._mac("shift", patient)[:8], "big") % _LONGEST_SHIFT

    def _mac(self, purpose: str, value: str) -> bytes:
        # UIDs have the form that others can compute who have the key and nothing else.
        content = value if purpose == "uid" else f"{purpose}\0{value}"
        return hmac.digest(self.key, content.encode(), "sha256")


def shifted(value: str, vr: str, days: int) -> str:
    """Return a DA or DT value moved by some days, "" where it is no date.

    A DT keeps its time and offset; one that is not as fine as a day is none here.
    """
    if not value or not days:
        return value
    text = value.strip()
    if vr == "DA":
        return _moved(text, days) if _DATE.fullmatch(text) else ""
    found = _DATE_TIME.fullmatch(text)
    moved = _moved(found[1], days) if found else ""
    return moved + found[2] if found and moved else ""


def _moved(text: str, days: int) -> str:
    found = day(text)
    if found is None:
        return ""
    try:
        return f"{found + timedelta(days=days):%Y%m%d}"
    except OverflowError:
        return ""


def known_options(options: Iterable[str], choices: frozenset[str]) -> frozenset[str]:
    """Return the options as a set. Raises ValueError for one that cannot be chosen."""
    chosen = frozenset(options)
    if unknown := chosen - choices:
        raise ValueError(f"No such option: {', '.join(sorted(unknown))}")
    return chosen
