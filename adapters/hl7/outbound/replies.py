"""What an acknowledgement says of a message that was sent.

HL7 v2.9 chapter 2, section 2.9 and table 0008.
"""

from dataclasses import dataclass
from typing import Final, Literal

Verdict = Literal["done", "accepted", "refused", "rejected", "foreign", "unreadable"]

_VERDICTS: Final[dict[str, Verdict]] = {
    "AA": "done",
    "CA": "accepted",
    "AE": "refused",
    "CE": "refused",
    "AR": "rejected",
    "CR": "rejected",
}
APPLIED: Final[dict[str, str]] = {"AA": "done", "AE": "dead", "AR": "dead"}
"""What becomes of a message that was accepted, by the application's acknowledgement."""
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Reply:
    """An acknowledgement: what it says, of which control id (MSA-2), and its bytes."""

    verdict: Verdict
    control_id: str
    code: str
    raw: bytes

    @property
    def detail(self) -> str:
        """What an operator is told; the texts of others may hold patient data."""
        return f"The answer is {self.code}" if self.code else "The answer cannot be read"


def read(raw: bytes, control_id: str) -> Reply:
    """Return what a frame says of the message with `control_id`.

    It is `foreign` where it is of another message, and `unreadable` where MSA is missing
    or says nothing that table 0008 has.
    """
    msa = _msa(raw)
    code, named = (msa[1].strip(), msa[2].strip()) if len(msa) > 2 else ("", "")  # noqa: PLR2004
    verdict = _VERDICTS.get(code, "unreadable")
    if verdict != "unreadable" and named != control_id:
        verdict = "foreign"
    return Reply(verdict, named, code[:_SHOWN], raw)


def _msa(raw: bytes) -> list[str]:
    text = raw.decode("latin-1").lstrip("\ufeff\r\n ")
    if not text.startswith("MSH") or len(text) < 5:  # noqa: PLR2004  (MSH, a mark, another)
        return []
    lines = text.replace("\n", "\r").split("\r")
    return next((one.split(text[3]) for one in lines if one.startswith(f"MSA{text[3]}")), [])
