"""Why a message is not applied: the closed list of the inbox."""

from typing import Final

REASONS: Final = frozenset(
    (
        *("FRAMING_NO_START", "FRAMING_TRUNCATED", "OVERSIZE", "OVERLOADED"),
        *("BAD_MSH", "CHARSET_UNSUPPORTED", "UNDECODABLE"),
        *("UNSUPPORTED_MESSAGE", "WRONG_PROCESSING_ID"),
        *("UNKNOWN_SENDER", "AMBIGUOUS_SENDER"),
        *("BATCH_INCOMPLETE", "BATCH_COUNT_MISMATCH", "INCOMPLETE_TRANSMISSION"),
        *("NO_PATIENT_ID", "AMBIGUOUS_PATIENT", "PATIENT_CONFLICT", "AMBIGUOUS_ORDER"),
        *("MERGE_CYCLE", "MERGE_TOO_LARGE"),
        *("UNMAPPABLE_STATUS", "UNMAPPED_CODE_HELD", "INVALID_RESOURCE", "MAPPING_ERROR"),
        *("NO_RESULTS", "RETRY_EXHAUSTED"),
    )
)
"""BATCH_COUNT_MISMATCH flags a batch whose messages are processed; OVERLOADED is a message
that was refused for want of room and may be sent again; the others are final."""

PARTIAL: Final = frozenset(
    ("FRAMING_TRUNCATED", "INCOMPLETE_TRANSMISSION", "OVERLOADED", "OVERSIZE")
)
"""Of these messages only a part is kept, so that they are never applied."""
