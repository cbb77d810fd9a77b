"""Results of quality control that stand in Q records, as some middleware sends them.

CLSI LIS02-A2 (ASTM E1394), sections 11: https://clsi.org/shop/standards/lis02/
"""

import re
from typing import Final

from adapters.hl7.records.segments import is_number, put_device
from adapters.hl7.records.translation import Translation
from adapters.hl7.records.transmission import Record

_MOMENT: Final = re.compile(r"\d{8,14}\Z")
_LOT, _LEVEL = 2, 3


def is_control(record: Record) -> bool:
    """Whether a Q record is no request, but the result of a control.

    Some middleware sends `Q|n|test^lot^level|value|unit|time|flag`. In a request Q-6 is
    the nature of the time limits, S or R, and never a time (section 11).
    """
    value, when, lot = record.leaf(4), record.leaf(6), record.leaf(3, _LOT)
    return bool(value and lot and when and _MOMENT.match(when.text))


def put_control(work: Translation, record: Record) -> None:
    """A control as the order, specimen and result of its lot."""
    lot, level = record.leaf(3, _LOT), record.leaf(3, _LEVEL)
    when = record.leaf(6)
    obr = work.add("OBR")
    obr.take(4, record.leaf(3))
    work.time(obr, 7, when)
    spm = work.add("SPM")
    spm.put(1, "1")
    spm.take(2, lot)
    spm.put(11, "Q")
    spm.take(14, level)
    obx = work.add("OBX")
    obx.take(3, record.leaf(3))
    value = record.leaf(4)
    obx.put(2, "NM" if value and is_number(value.text) else "ST")
    obx.take(5, value)
    obx.put(6, *record.whole(5))
    obx.take(8, record.leaf(7))
    obx.put(11, work.positions.astm.default_status or "F")
    work.time(obx, 14, when)
    put_device(work.scope(), obx)
