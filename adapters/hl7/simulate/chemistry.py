"""Messages of an imagined chemistry analyzer, for benchmarks and demonstrations."""

import random
from datetime import UTC, datetime, timedelta
from typing import Final

from adapters.hl7.simulate.persons import person, pid
from adapters.hl7.simulate.values import CRITICAL_SHARE, Measured, measured, tests

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)

# LOINC code|local code|name|unit|decimals|low|high
PANEL: Final = """\
2345-7|GLU|Glucose [Mass/volume] in Serum or Plasma|mg/dL|0|70|99
3094-0|BUN|Urea nitrogen [Mass/volume] in Serum or Plasma|mg/dL|0|6|20
2160-0|CREA|Creatinine [Mass/volume] in Serum or Plasma|mg/dL|2|0.6|1.3
2951-2|NA|Sodium [Moles/volume] in Serum or Plasma|mmol/L|0|136|145
2823-3|K|Potassium [Moles/volume] in Serum or Plasma|mmol/L|1|3.5|5.1
2075-0|CL|Chloride [Moles/volume] in Serum or Plasma|mmol/L|0|98|107
2028-9|CO2|Carbon dioxide, total [Moles/volume] in Serum or Plasma|mmol/L|0|21|32
17861-6|CA|Calcium [Mass/volume] in Serum or Plasma|mg/dL|1|8.6|10.3
2885-2|TP|Protein [Mass/volume] in Serum or Plasma|g/dL|1|6.4|8.3
1751-7|ALB|Albumin [Mass/volume] in Serum or Plasma|g/dL|1|3.5|5.2
1975-2|TBIL|Bilirubin.total [Mass/volume] in Serum or Plasma|mg/dL|1|0.1|1.2
1968-7|DBIL|Bilirubin.direct [Mass/volume] in Serum or Plasma|mg/dL|1|0|0.3
1920-8|AST|Aspartate aminotransferase [Enzymatic activity/volume] in Serum or Plasma|U/L|0|8|48
1742-6|ALT|Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma|U/L|0|7|55
6768-6|ALP|Alkaline phosphatase [Enzymatic activity/volume] in Serum or Plasma|U/L|0|40|129
2324-2|GGT|Gamma glutamyl transferase [Enzymatic activity/volume] in Serum or Plasma|U/L|0|8|61
2532-0|LDH|Lactate dehydrogenase [Enzymatic activity/volume] in Serum or Plasma|U/L|0|122|222
2093-3|CHOL|Cholesterol [Mass/volume] in Serum or Plasma|mg/dL|0|125|200
2571-8|TRIG|Triglyceride [Mass/volume] in Serum or Plasma|mg/dL|0|35|150
2085-9|HDL|Cholesterol in HDL [Mass/volume] in Serum or Plasma|mg/dL|0|40|60
3084-1|UA|Urate [Mass/volume] in Serum or Plasma|mg/dL|1|3.5|7.2
2777-1|PHOS|Phosphate [Mass/volume] in Serum or Plasma|mg/dL|1|2.5|4.5
19123-9|MG|Magnesium [Mass/volume] in Serum or Plasma|mg/dL|1|1.7|2.2
2498-4|FE|Iron [Mass/volume] in Serum or Plasma|ug/dL|0|50|175
1988-5|CRP|C reactive protein [Mass/volume] in Serum or Plasma|mg/L|1|0|5
"""
_TESTS: Final = tests(PANEL)


def oru(seed: int, observations: int = 25, critical_share: float = CRITICAL_SHARE) -> bytes:
    """Return an ORU^R01 message (HL7 2.5.1, UTF-8) that depends on `seed` alone.

    Each seed is an order and a specimen of its own; a patient comes back every
    10,000 seeds. Of the messages `critical_share` hold a value that the laboratory calls
    about (HH or LL).
    """
    dice = random.Random(seed)  # noqa: S311  (a simulation, not a secret)
    taken = _START + timedelta(minutes=seed % 500_000)
    at = taken + timedelta(minutes=35)
    number = seed % 10_000
    order = f"P{seed:010d}^SIMHIS|F{seed:010d}^SIMLAB"
    panel = "24323-8^Comprehensive metabolic 2000 panel - Serum or Plasma^LN^CHEM^Chemistry^L"
    received = _stamp(taken + timedelta(minutes=20))
    header = f"MSH|^~\\&|CHEM-SIM|LAB|SANGAM|HOSPITAL|{_stamp(at)}||ORU^R01^ORU_R01"
    segments = [
        f"{header}|SIM{seed:010d}|P|2.5.1||||||UNICODE UTF-8",
        pid(person(number)),
        f"PV1|1|O|OPD^12^^SIMHOSP||||||||||||||||V{number:06d}^^^SIMHOSP^VN",
        f"ORC|RE|{order}||CM",
        f"OBR|1|{order}|{panel}|||{_stamp(taken)}|||||||||||||||{_stamp(at)}||CH|F",
        f"SPM|1|^S{seed:010d}&SIMLAB||SER^Serum^HL70487|||||||||||||{_stamp(taken)}|{received}",
    ]
    wanted = [_TESTS[place % len(_TESTS)] for place in range(observations)]
    results = measured(dice, wanted, critical_share)
    segments += (_obx(place, each, at) for place, each in enumerate(results))
    return ("\r".join(segments) + "\r").encode()


def _obx(place: int, each: Measured, at: datetime) -> str:
    test = each.test
    # A panel that is longer than the list measures the same again under other local codes.
    again = f"-{place // len(_TESTS) + 1}" if place >= len(_TESTS) else ""
    local = test.local + again
    code = f"{test.loinc}^{test.name}^LN^{local}^{local}^L"
    return (
        f"OBX|{place + 1}|NM|{code}||{each.value}|{test.unit}^{test.unit}^UCUM"
        f"|{test.low:g}-{test.high:g}|{each.flag}|||F|||{_stamp(at)}||||CHEM-SIM-01^SIMLAB"
    )


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S%z}"
