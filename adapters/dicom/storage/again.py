"""What becomes of an instance whose UID is known already, or was rejected.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_B.2.3
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

import psycopg

from adapters.dicom.dataset.rejections import QUALITY, RETENTION_EXPIRED

Row = tuple[Any, ...]


class Verdict(Enum):
    """What became of an instance.

    It is new, the same as before, kept aside as a conflict, kept aside as the same in another
    transfer syntax, or takes the place of the one before; REJECTED and TAKEN say that it was
    refused: as its UID was rejected, or has another content and the policy is to refuse that.
    """

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    RECODED = "recoded"
    REPLACED = "replaced"
    REJECTED = "rejected"
    TAKEN = "taken"


OnConflict = Literal["keep-first", "replace", "reject"]

# What was rejected is hidden when it comes (again). NULL, which the column does not take, is
# for what is refused: so it costs one look into an index, and no way there and back.
STATE: Final = f"""
CASE coalesce((SELECT r.code FROM dicom_rejection AS r
               WHERE r.sop_instance_uid = %(sop_instance_uid)s), '')
    WHEN '' THEN %(state)s WHEN '{QUALITY}' THEN 'hidden' WHEN '{RETENTION_EXPIRED}' THEN 'live'
    ELSE %(withdrawn)s
END
"""

_PRESENT: Final = """
SELECT i.study_instance_uid, i.series_instance_uid, i.transfer_syntax_uid, i.data_set_hash, i.blob,
       r.code, p.transfer_syntax_uid, p.data_set_hash
FROM dicom_instance AS i LEFT JOIN dicom_rejection AS r USING (sop_instance_uid)
     LEFT JOIN dicom_recompressed AS p USING (sop_instance_uid)
WHERE i.sop_instance_uid = %s
"""
_MOVED: Final = """
SELECT into_study FROM dicom_split WHERE study_instance_uid = %s AND series_instance_uid = %s
"""
_CONTENT: Final = """
sop_instance_uid, study_instance_uid, series_instance_uid, transfer_syntax_uid, blob,
data_set_hash, calling_ae, peer, sop_class_uid, size, data_set_offset, pixel_offset, flags,
attributes
"""
_CONFLICT: Final = f"""
INSERT INTO dicom_conflict (kind, state, {_CONTENT})
VALUES (%(kind)s, %(conflict_state)s, %(sop_instance_uid)s, %(study_instance_uid)s,
    %(series_instance_uid)s, %(transfer_syntax_uid)s, %(blob)s, %(data_set_hash)s,
    %(calling_ae)s, %(peer)s, %(sop_class_uid)s, %(size)s, %(data_set_offset)s,
    %(pixel_offset)s, %(flags)s, %(attributes)s::text::jsonb)
ON CONFLICT DO NOTHING
"""
_ASIDE: Final = f"""
INSERT INTO dicom_conflict (kind, state, received_at, {_CONTENT})
SELECT %(kind)s, 'replaced', received_at, {_CONTENT} FROM dicom_instance
WHERE sop_instance_uid = %(sop_instance_uid)s
ON CONFLICT (sop_instance_uid, transfer_syntax_uid, data_set_hash)
DO UPDATE SET state = 'replaced'
"""
_REPLACE: Final = """
UPDATE dicom_instance SET transfer_syntax_uid = %(transfer_syntax_uid)s, blob = %(blob)s,
    data_set_hash = %(data_set_hash)s, size = %(size)s, sop_class_uid = %(sop_class_uid)s,
    data_set_offset = %(data_set_offset)s, pixel_offset = %(pixel_offset)s,
    calling_ae = %(calling_ae)s, peer = %(peer)s, flags = %(flags)s,
    attributes = %(attributes)s::text::jsonb, instance_number = %(instance_number)s,
    received_at = clock_timestamp()
WHERE sop_instance_uid = %(sop_instance_uid)s
"""
_REVIVE: Final = """
WITH gone AS (DELETE FROM dicom_rejection WHERE sop_instance_uid = %(sop_instance_uid)s)
UPDATE dicom_instance SET state = 'live' WHERE sop_instance_uid = %(sop_instance_uid)s
"""


@dataclass(frozen=True, slots=True)
class Present:
    """The stored instance of the same UID; `code` is why it is rejected, None if it is not.

    `packed_syntax` and `packed_hash` are those that it had before it was packed without loss.
    """

    study: str
    series: str
    transfer_syntax: str
    data_set_hash: bytes
    blob: bytes
    code: str | None
    packed_syntax: str | None = None
    packed_hash: bytes | None = None


Steps = Generator[tuple[str, Any], Row | None, tuple[Verdict, bool]]
"""Statements to execute one after the other, each given the first row of the one before.

They end with the verdict, and whether the instance's blob is needed; the caller commits.
"""


def again(values: Mapping[str, Any], policy: OnConflict) -> Steps:
    """Decide on an instance that was not inserted; `values` are the columns of its row."""
    row = yield _PRESENT, (values["sop_instance_uid"],)
    assert row is not None, "an instance row vanished"
    present = Present(*row)
    study, series = values["study_instance_uid"], values["series_instance_uid"]
    moved = None
    if present.study != study:
        into = yield _MOVED, (study, series)
        moved = str(into[0]) if into else None
    kind = conflict_kind(present, values, moved)
    if kind == "study":
        yield _conflict(values, kind)
        return Verdict.CONFLICT, True
    if present.code == RETENTION_EXPIRED:
        yield _REVIVE, values
        if kind:
            yield from _replaced(values, kind)
        return Verdict.STORED, True
    if not kind:
        return Verdict.DUPLICATE, present.blob == values["blob"]
    if policy == "replace":
        yield from _replaced(values, kind)
        return Verdict.REPLACED, True
    if policy == "reject":
        return Verdict.TAKEN, present.blob == values["blob"]
    yield _conflict(values, kind)
    return Verdict.RECODED if kind == "encoding" else Verdict.CONFLICT, True


def rejected(values: Mapping[str, Any]) -> Steps:
    """Tell that an instance is not taken; a blob like its own may be there all the same."""
    row = yield _PRESENT, (values["sop_instance_uid"],)
    return Verdict.REJECTED, row is not None and Present(*row).blob == values["blob"]


def conflict_kind(present: Present, values: Mapping[str, Any], moved: str | None = None) -> str:
    """Return how an instance differs from the stored one, "" when it does not.

    `moved` is the study that its series was moved to by an operator.
    """
    study, series = values["study_instance_uid"], values["series_instance_uid"]
    if (present.study, present.series) not in {(study, series), (moved, series)}:
        return "study"
    if present.transfer_syntax != values["transfer_syntax_uid"]:
        before = (present.packed_syntax, present.packed_hash)
        known = before == (values["transfer_syntax_uid"], values["data_set_hash"])
        return "" if known else "encoding"
    return "" if present.data_set_hash == values["data_set_hash"] else "content"


def _conflict(values: Mapping[str, Any], kind: str) -> tuple[str, Any]:
    # The same image in another transfer syntax needs nobody's decision.
    state = "kept" if kind == "encoding" else "open"
    return _CONFLICT, {**values, "kind": kind, "conflict_state": state}


def _replaced(values: Mapping[str, Any], kind: str) -> Generator[tuple[str, Any], Row | None]:
    """Put the content in the place of the stored one, which stays as a previous version."""
    yield _ASIDE, {**values, "kind": kind}
    yield _REPLACE, values


def carry_out(
    connection: psycopg.Connection[tuple[Any, ...]], steps: Steps
) -> tuple[Verdict, bool]:
    """Execute the statements and return what they end with."""
    row: Row | None = None
    while True:
        try:
            sql, values = steps.send(row)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        cursor = connection.execute(sql, values)
        row = cursor.fetchone() if cursor.description else None
