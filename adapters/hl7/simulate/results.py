"""A measured specimen as ORU^R01, and as the records of ASTM."""

from datetime import datetime, timedelta
from typing import Final

from adapters.hl7.simulate.panels import Sample
from adapters.hl7.simulate.persons import pid
from adapters.hl7.simulate.values import Measured

_REPORT: Final = {"P": "P", "F": "F", "C": "C", "X": "X"}


def stamp(moment: datetime) -> str:
    """Return a time with its offset, as HL7 v2 writes it."""
    return f"{moment:%Y%m%d%H%M%S%z}"


def header(analyzer: str, kind: str, control_id: str, moment: datetime) -> str:
    """Return the MSH segment of an analyzer's message."""
    return (
        f"MSH|^~\\&|{analyzer}|LAB|SANGAM|HOSPITAL|{stamp(moment)}||{kind}"
        f"|{control_id}|P|2.5.1||||||UNICODE UTF-8"
    )


def joined(segments: list[str]) -> bytes:
    """Return the message of these segments."""
    return ("\r".join(segments) + "\r").encode()


def oru(one: Sample, status: str = "F", repeat: int = 0) -> bytes:
    """Return a message with all results in one status (table 0085): P, F, C or X.

    A message about the same specimen with another `repeat` updates what the first one said.
    """
    panel, moment = one.panel, one.measured + timedelta(minutes=repeat)
    loinc, name, local = panel.code
    order = f"P{one.number}^SIMHIS|F{one.number}^{panel.analyzer}"
    code, text = panel.specimen
    control = f"{panel.analyzer[:4]}{one.seed:010d}{status}{repeat}"
    segments = [
        header(panel.analyzer, "ORU^R01^ORU_R01", control, moment),
        pid(one.person),
        f"PV1|1|O|OPD^12^^SIMHOSP||||||||||||||||V{one.person.number:06d}^^^SIMHOSP^VN",
        f"ORC|RE|{order}||{'CA' if status == 'X' else 'CM'}",
        (
            f"OBR|1|{order}|{loinc}^{name}^LN^{local}^{local}^L|||{stamp(one.taken)}"
            f"|||||||||||||||{stamp(moment)}||{panel.section}|{_REPORT[status]}"
        ),
        f"SPM|1|^{one.specimen}&SIMLAB||{code}^{text}^HL70487|||||||||||||{stamp(one.taken)}",
    ]
    segments += (_obx(place, each, one, status) for place, each in enumerate(one.results, 1))
    return joined(segments)


def _obx(place: int, each: Measured, one: Sample, status: str) -> str:
    test = each.test
    code = f"{test.loinc}^{test.name}^LN^{test.local}^{test.local}^L"
    value, flag = ("", "") if status == "X" else (each.value, each.flag)
    return (
        f"OBX|{place}|NM|{code}||{value}|{test.unit}^{test.unit}^UCUM|{test.low:g}-{test.high:g}"
        f"|{flag}|||{status}|||{stamp(one.measured)}||||{one.panel.analyzer}-01^SIMLAB"
    )


def records(one: Sample, status: str = "F") -> bytes:
    """Return the results as records, in the analyzer's own codes."""
    at, panel = f"{one.measured:%Y%m%d%H%M%S}", one.panel
    lines = [
        f"H|\\^&|||SIM^{panel.analyzer}^1.0|||||||P|LIS2-A2|{at}",
        (
            f"P|1|{one.person.identifier}|||{one.person.family}^{one.person.given}"
            f"||{one.person.born:%Y%m%d}|{one.person.sex}"
        ),
        (
            f"O|1|{one.specimen}||^^^{panel.code[2]}|R||{one.taken:%Y%m%d%H%M%S}||||N||||"
            f"{panel.specimen[1]}||||||||||{status}"
        ),
    ]
    for place, each in enumerate(one.results, 1):
        test = each.test
        value = "" if status == "X" else each.value
        lines.append(
            f"R|{place}|^^^{test.local}^{test.name.partition(' [')[0]}|{value}|{test.unit}"
            f"|{test.low:g}-{test.high:g}|{each.flag}||{status}||||{at}|{panel.analyzer}-01"
        )
    return ("\r".join([*lines, "L|1|N"]) + "\r").encode()
