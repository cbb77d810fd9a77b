"""Results that a sender spreads over several OBX: base64 in pieces, text line by line.

HL7 v2.9 chapter 7, section 7.4.2.4: repeated OBX-3 without another sub-id.
"""

from collections.abc import Sequence
from typing import Final

from adapters.hl7.mapping.context import Context
from adapters.hl7.mapping.datatypes import ed
from adapters.hl7.message.accounting import DUPLICATE
from adapters.hl7.message.grouping import Result
from adapters.hl7.message.tokenizer import Segment, leaves

_TEXT: Final = frozenset(("TX", "FT", "ST"))
_DATA: Final = 5
_PARTS: Final = 5  # components of an ED
_VALUE: Final = "Observation.value"
_SAME: Final = (3, 11)


def joined(ctx: Context, results: Sequence[Result]) -> Sequence[Result]:
    """Return results of which those are one that the profile says are one."""
    if not (ctx.profile.ed_join or ctx.profile.join_text_obx):
        return results
    found: list[Result] = []
    for result in results:
        last = found[-1] if found else None
        if last is None or not _continues(ctx, last.obx, result.obx):
            found.append(result)
            continue
        _append(last.obx, result.obx)
        last.notes.extend(result.notes)
    return found


def _continues(ctx: Context, first: Segment, second: Segment) -> bool:
    kinds = {one.raw(2).strip() for one in (first, second)}
    if any(first.raw(number) != second.raw(number) for number in _SAME) or first.raw(21):
        return False
    if kinds == {"ED"}:
        pieces = ctx.profile.ed_join and _is_one_piece(first) and _is_one_piece(second)
        return pieces and (first.raw(4) == second.raw(4) or not _begins(second))
    if first.raw(4) != second.raw(4):
        return False
    return ctx.profile.join_text_obx and len(kinds) == 1 and kinds <= _TEXT


def _is_one_piece(obx: Segment) -> bool:
    found = obx.repetitions(_DATA)
    return len(found) == 1 and bool(found[0].raw(_PARTS))


def _begins(obx: Segment) -> bool:
    """Whether a piece is the beginning of a file; some senders number pieces in OBX-4."""
    rep = obx.repetitions(_DATA)[0]
    return ed.is_beginning(rep.raw(_PARTS))


def _append(first: Segment, second: Segment) -> None:
    """Add the value of the second to that of the first; its other fields say the same again."""
    marks = first.message.delimiters
    if first.raw(2).strip() == "ED":
        piece = second.raw(_DATA).split(marks.component)[_PARTS - 1]
        parts = first.raw(_DATA).split(marks.component)
        parts[_PARTS - 1] += piece
        first.fields[_DATA] = marks.component.join(parts)
    else:
        line = f"{marks.escape}.br{marks.escape}"
        first.fields[_DATA] += line + second.raw(_DATA).replace(marks.repetition, line)
    for address in leaves(second, _DATA):
        second.message.mapped[address] = _VALUE
    for number in range(2, len(second.fields)):
        if number != _DATA and second.raw(number) == first.raw(number):
            second.refuse(number, DUPLICATE)
