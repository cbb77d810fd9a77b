"""Reasons and resources in words that need no manual."""

from collections.abc import Mapping
from typing import Any, Final

from adapters.hl7.mapping.context import Json

REASON_TEXTS: Final = {
    "no_target": "FHIR has no place for it here",
    "condition_false": "only maps under a condition that is not met",
    "profile_ignored": "the sender's profile drops or replaces it",
    "control": "only guides the transmission",
    "z_segment": "local segment; a profile can map it",
    "null": 'deletes (""): nothing is left to show',
    "duplicate_of": "says what another field says",
    "precision": "more precise than FHIR can hold",
    "formatting": "layout of the text only",
    "invalid_value": "not a valid value of its type",
}
"""What the reasons of the account (message/accounting) mean."""

WHAT_TO_DO: Final = {
    "FRAMING_NO_START": "The sender forgot the start byte. Fix it there, or set missing_vt.",
    "FRAMING_TRUNCATED": "Only a part came. Ask the sender to send it again.",
    "OVERSIZE": "Larger than max_message_bytes. Send it in parts, or raise the limit.",
    "OVERLOADED": "There was no room at that moment. The sender may send it again.",
    "BAD_MSH": "The header cannot be read. Look at MSH-1, MSH-2 and MSH-10 of the sender.",
    "CHARSET_UNSUPPORTED": "Name the character set in the sender's profile, then replay.",
    "UNDECODABLE": "The bytes are not in the character set that MSH-18 names. "
    "Set the charset of the sender's profile, then replay.",
    "UNSUPPORTED_MESSAGE": "This type is not mapped. Dismiss it, or let the sender stop it.",
    "WRONG_PROCESSING_ID": "A test message on a live port, or the other way round "
    "(accepted_processing_ids).",
    "UNKNOWN_SENDER": "No profile fits. Add one for this sender, then replay.",
    "AMBIGUOUS_SENDER": "Several profiles fit. Narrow their sender patterns, then replay.",
    "BATCH_INCOMPLETE": "The batch has no end. Ask the sender to send it again.",
    "BATCH_COUNT_MISMATCH": "The count of the batch is wrong; its messages were processed. "
    "Ask the sender whether any is missing, then dismiss.",
    "INCOMPLETE_TRANSMISSION": "The analyzer broke off. Send the results again from there.",
    "NO_PATIENT_ID": "No usable patient identifier. Correct it at the sender and send again; "
    "quality control needs a rule in the profile.",
    "AMBIGUOUS_PATIENT": "The identifiers belong to two patients. "
    "Merge them or correct one, then replay.",
    "PATIENT_CONFLICT": "The order or result number belongs to somebody else. "
    "Find out whose it is before anything is replayed.",
    "AMBIGUOUS_ORDER": "Placer and filler number are of two orders. Clear that up, then replay.",
    "MERGE_CYCLE": "The merge would join a patient with itself. Check both, then dismiss.",
    "MERGE_TOO_LARGE": "Moves more references than merge_limit. "
    "Check both patients, then replay confirmed.",
    "UNMAPPABLE_STATUS": "The status has no meaning in FHIR. Correct it at the sender, "
    "or translate it in the profile.",
    "UNMAPPED_CODE_HELD": "A local code has no translation. Complete its Task; the message "
    "is then replayed by itself.",
    "INVALID_RESOURCE": "The result would not be valid FHIR. See the detail; fix it in "
    "the profile, then replay.",
    "MAPPING_ERROR": "The mapping failed. See the detail; replay after an update, or report it.",
    "NO_RESULTS": "A result message without results. Dismiss it, or ask the sender.",
    "RETRY_EXHAUSTED": "The database was busy for too long. Replay it.",
}
"""What an operator does about each reason of the inbox."""

_OF_PERSONS: Final = frozenset(("Patient", "RelatedPerson"))


def label(resource: Json) -> str:
    """Return what a resource is about in a few words, "" where nothing says so."""
    for member in ("code", "vaccineCode", "medicationCodeableConcept", "type"):
        if text := _concept(resource.get(member)):
            return text
    named = resource.get("name")
    if isinstance(named, str):
        return named
    return _person(named[0]) if named else _numbered(resource)


def of_person(kind: str) -> bool:
    """Whether the label of a resource of this type tells who a patient is."""
    return kind in _OF_PERSONS


def _concept(value: Any) -> str:  # noqa: ANN401
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, dict):
        return ""
    coding: Mapping[str, Any] = next(iter(first.get("coding", ())), {})
    return str(first.get("text") or coding.get("display") or coding.get("code") or "")


def _person(name: Any) -> str:  # noqa: ANN401
    if not isinstance(name, dict):
        return ""
    return " ".join((*name.get("given", ()), name.get("family", ""))).strip()


def _numbered(resource: Json) -> str:
    numbers = resource.get("identifier") or [{}]
    first = numbers[0] if isinstance(numbers, list) else numbers
    system = str(first.get("system", ""))
    return "" if system.endswith("/hl7/key") else str(first.get("value", ""))
