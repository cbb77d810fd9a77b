"""Blood cultures of imagined patients: an organism, and what it is susceptible to."""

import random
from datetime import UTC, datetime, timedelta
from typing import Final

from adapters.hl7.simulate.persons import person, pid
from adapters.hl7.simulate.results import header, joined, stamp

_ANALYZER: Final = "MICRO-SIM"
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_CULTURE: Final = "600-7^Bacteria identified in Blood by Culture^LN"
_ORGANISMS: Final = (
    ("112283007", "Escherichia coli"),
    ("56415008", "Klebsiella pneumoniae"),
    ("3092008", "Staphylococcus aureus"),
)
# LOINC code|antibiotic|susceptible up to|resistant from, in ug/mL
_ANTIBIOTICS: Final = """\
18864-9|Ampicillin|8|32
18906-8|Ciprofloxacin|0.25|1
18895-3|Ceftriaxone|1|4
18928-2|Gentamicin|4|16
18943-1|Meropenem|1|4
"""
_DILUTIONS: Final = (0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


def culture(seed: int) -> bytes:
    """Return an ORU^R01 with a culture and, as its child order, the susceptibilities."""
    dice = random.Random(seed)  # noqa: S311  (a simulation, not a secret)
    taken = _START + timedelta(minutes=seed % 500_000)
    done = taken + timedelta(hours=48)
    code, organism = dice.choice(_ORGANISMS)
    parent = (f"PMB{seed:010d}", "SIMHIS", f"FMB{seed:010d}", _ANALYZER)
    child = (f"PMB{seed:010d}-1", "SIMHIS", f"FMB{seed:010d}-1", _ANALYZER)
    result = f"{_CULTURE.replace('^', '&')}^1^{organism}"
    both = f"{parent[0]}&{parent[1]}^{parent[2]}&{parent[3]}"
    segments = [
        header(_ANALYZER, "ORU^R01^ORU_R01", f"MICR{seed:010d}", done),
        pid(person(seed % 10_000)),
        _orc(parent),
        f"{_obr(1, parent, _CULTURE, taken, done)}|MB|F",
        f"OBX|1|CWE|{_CULTURE}|1|{code}^{organism}^SCT|||A|||F|||{stamp(done)}",
        f"SPM|1|^SMB{seed:010d}&SIMLAB||BLD^Whole blood^HL70487|||||||||||||{stamp(taken)}",
        _orc(child),
        (
            f"{_obr(2, child, '29576-6^Bacterial susceptibility panel^LN', taken, done)}"
            f"|MB|F|{result}|||{both}"
        ),
    ]
    for place, line in enumerate(_ANTIBIOTICS.splitlines(), 1):
        segments.append(_susceptibility(dice, place, line, done))
    return joined(segments)


def _orc(number: tuple[str, str, str, str]) -> str:
    placer, his, filler, lab = number
    return f"ORC|RE|{placer}^{his}|{filler}^{lab}||CM"


def _obr(
    place: int, number: tuple[str, str, str, str], code: str, taken: datetime, done: datetime
) -> str:
    placer, his, filler, lab = number
    return (
        f"OBR|{place}|{placer}^{his}|{filler}^{lab}|{code}|||{stamp(taken)}"
        f"|||||||||||||||{stamp(done)}|"
    )


def _susceptibility(dice: random.Random, place: int, line: str, done: datetime) -> str:
    loinc, name, susceptible, resistant = line.split("|")
    mic = dice.choice(_DILUTIONS)
    flag = "S" if mic <= float(susceptible) else "R" if mic >= float(resistant) else "I"
    test = f"{loinc}^{name} [Susceptibility] by Minimum inhibitory concentration (MIC)^LN"
    return f"OBX|{place}|SN|{test}|1|<=^{mic:g}|ug/mL^ug/mL^UCUM||{flag}|||F|||{stamp(done)}"
