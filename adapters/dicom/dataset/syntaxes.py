"""Which abstract syntaxes are storage, and which transfer syntaxes can be kept.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_B.5
https://dicom.nema.org/medical/dicom/current/output/html/part05.html#chapter_10
"""

from functools import lru_cache

from pydicom.uid import UID

VERIFICATION = "1.2.840.10008.1.1"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
ENCAPSULATED = "1.2.840.10008.1.2.1.98"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"

QUERIED = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
"""The transfer syntaxes of services without bulk data, in order of preference."""

_NATIVE = frozenset((IMPLICIT_LITTLE, EXPLICIT_LITTLE, ENCAPSULATED, DEFLATED, EXPLICIT_BIG, RLE))
# All others with their own coding of pixels, retired and future ones included.
_CODED = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.8.")
# The pixels of a JPIP-referenced object are elsewhere, so keeping it would keep nothing.
_JPIP = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (94, 95, 204, 205))

_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
# A directory and a commitment are called storage and are none.
_NO_STORAGE = frozenset(
    (
        "1.2.840.10008.1.3.10",
        "1.2.840.10008.1.20.1",
        "1.2.840.10008.1.20.2",
    )
)


def is_kept(transfer_syntax: str) -> bool:
    """Return whether data sets in this standard transfer syntax are stored as they come."""
    coded = transfer_syntax.startswith(_CODED) and transfer_syntax not in _JPIP
    return coded or transfer_syntax in _NATIVE


@lru_cache(maxsize=1024)
def _known(abstract_syntax: str) -> tuple[str, str]:
    """Return name and type in the registry (PS3.6, Annex A), empty for an unknown UID."""
    found = UID(abstract_syntax)
    return (found.name, found.type) if found.type else ("", "")


def is_storage(abstract_syntax: str, *, accept_unknown: bool) -> bool:
    """Return whether instances of this class are stored.

    With `accept_unknown`, everything is storage that is not known as something else. What
    stands below the root of storage is, also where it is newer than the registry we have.
    """
    if abstract_syntax.startswith(_STORAGE_ROOT):
        return True
    name, kind = _known(abstract_syntax)
    if not kind:
        return accept_unknown and bool(abstract_syntax)
    return "Storage" in name and abstract_syntax not in _NO_STORAGE
