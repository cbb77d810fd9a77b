"""What imagined analyzers measure, and a specimen that they measured."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from adapters.hl7.simulate.chemistry import PANEL
from adapters.hl7.simulate.persons import Person, person
from adapters.hl7.simulate.values import CRITICAL_SHARE, Measured, Test, measured, tests

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_PERSONS: Final = 10_000

# LOINC code|local code|name|unit|decimals|low|high
_CBC: Final = """\
6690-2|WBC|Leukocytes [#/volume] in Blood by Automated count|10*3/uL|2|4.0|10.0
789-8|RBC|Erythrocytes [#/volume] in Blood by Automated count|10*6/uL|2|4.1|5.7
718-7|HGB|Hemoglobin [Mass/volume] in Blood|g/dL|1|12.0|16.5
4544-3|HCT|Hematocrit [Volume Fraction] of Blood by Automated count|%|1|36|49
787-2|MCV|MCV [Entitic mean volume] in Red Blood Cells by Automated count|fL|1|80|100
785-6|MCH|MCH [Entitic mass] by Automated count|pg|1|27|33
786-4|MCHC|MCHC [Entitic Mass/volume] in Red Blood Cells by Automated count|g/dL|1|32|36
788-0|RDW|Erythrocyte [DistWidth] in Blood by Automated count|%|1|11.5|14.5
777-3|PLT|Platelets [#/volume] in Blood by Automated count|10*3/uL|0|150|400
770-8|NEUT%|Neutrophils/Leukocytes in Blood by Automated count|%|1|40|70
736-9|LYMPH%|Lymphocytes/Leukocytes in Blood by Automated count|%|1|20|45
5905-5|MONO%|Monocytes/Leukocytes in Blood by Automated count|%|1|2|10
"""
_GAS: Final = """\
2744-1|pH|pH of Arterial blood|[pH]|2|7.35|7.45
2019-8|pCO2|Carbon dioxide [Partial pressure] in Arterial blood|mm[Hg]|1|35|45
2703-7|pO2|Oxygen [Partial pressure] in Arterial blood|mm[Hg]|1|80|100
1960-4|HCO3|Bicarbonate [Moles/volume] in Arterial blood|mmol/L|1|22|26
2708-6|sO2|Oxygen saturation in Arterial blood|%|1|95|100
2518-9|LAC|Lactate [Moles/volume] in Arterial blood|mmol/L|1|0.5|1.6
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """The tests of an analyzer; `code` is the LOINC code, name and local code of the order.

    `specimen` is code (table 0487) and text, `section` the diagnostic service (0074).
    """

    analyzer: str
    code: tuple[str, str, str]
    specimen: tuple[str, str]
    section: str
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A specimen that was measured; everything in it follows from the seed."""

    seed: int
    panel: Panel
    person: Person
    taken: datetime
    measured: datetime
    results: tuple[Measured, ...]

    @property
    def specimen(self) -> str:
        """The number on the tube."""
        return f"S{self.number}"

    @property
    def number(self) -> str:
        """What tells the order from all others."""
        return f"{self.panel.section}{self.seed:010d}"


CBC: Final = Panel(
    "CBC-SIM",
    ("58410-2", "CBC panel - Blood by Automated count", "CBC"),
    ("BLD", "Whole blood"),
    "HM",
    tests(_CBC),
)
CHEMISTRY: Final = Panel(
    "CHEM-SIM",
    ("24323-8", "Comprehensive metabolic 2000 panel - Serum or Plasma", "CHEM"),
    ("SER", "Serum"),
    "CH",
    tests(PANEL),
)
BLOOD_GAS: Final = Panel(
    "GAS-SIM",
    ("24336-0", "Gas panel - Arterial blood", "ABG"),
    ("BLDA", "Blood arterial"),
    "BG",
    tests(_GAS),
)


def sample(
    panel: Panel, seed: int, *, repeat: int = 0, critical_share: float = CRITICAL_SHARE
) -> Sample:
    """Return the specimen of a seed; a `repeat` of the measurement has other values."""
    dice = random.Random(f"{seed} {repeat}")  # noqa: S311  (a simulation, not a secret)
    taken = _START + timedelta(minutes=seed % 500_000)
    at = taken + timedelta(minutes=35 + 20 * repeat)
    results = measured(dice, panel.tests, critical_share)
    return Sample(seed, panel, person(seed % _PERSONS), taken, at, results)
