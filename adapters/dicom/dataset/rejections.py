"""The titles of Key Object Selections that reject what they list.

https://dicom.nema.org/medical/dicom/current/output/html/part16.html#sect_CID_7011
https://profiles.ihe.net/RAD/TF/Volume3/ch-4.66.html
"""

from typing import Final

KEY_OBJECTS: Final = "1.2.840.10008.5.1.4.1.1.88.59"
"""The SOP class of Key Object Selections."""

QUALITY: Final = "113001"
SAFETY: Final = "113037"
WRONG_WORKLIST_ENTRY: Final = "113038"
RETENTION_EXPIRED: Final = "113039"
TITLES: Final = {
    QUALITY: "Rejected for Quality Reasons",
    SAFETY: "Rejected for Patient Safety Reasons",
    WRONG_WORKLIST_ENTRY: "Incorrect Modality Worklist Entry Selection",
    RETENTION_EXPIRED: "Data Retention Policy Expired",
}
"""By their codes of DCM."""
