"""Resources made by chance whose values lie close together, so that a wrong rule confuses them."""

import random
import re
from collections.abc import Iterator
from decimal import Decimal

from .definitions import UCUM, Json

NAMES = [
    "Müller", "Muller", "José", "Ó Briain", "van der Berg", "de la Cruz", "Straße",
    "शर्मा", "शर्मी", "शरमा", "ज़ैदी", "जैदी", "முருகன்", "முருகான்", "முருகன", "ਸਿੰਘ", "ਸਿਘ",
    "Νίκος", "İpek", "ﬁsher", "O'Neill", "Smith-Jones", "100%", "a_b", "Å", "A",
]  # fmt: skip
UNITS = [
    "mg",
    "g",
    "ug",
    "kg",
    "Cel",
    "[degF]",
    "K",
    "mmol/L",
    "umol/L",
    "%",
    "{score}",
    "[iU]",
    "[IU]",
]
KINDS = ["MR", "mr", "SS"]
PHONES = ["+91 98765-43210", "+919876543210", "(022) 555.12", "02255512", "a@x.org", "A@X.org"]


def strange(chance: random.Random, count: int) -> Iterator[Json]:
    """Yield so many, of six types in turn."""
    makers = [_patient, _observation, _encounter, _risk, _sequence, _profiled]
    for number in range(count):
        made = makers[number % len(makers)](chance, count)
        yield {"id": f"strange-{number}", **made}


def _patient(chance: random.Random, _: int) -> Json:
    name: Json = {"family": chance.choice(NAMES)}
    if chance.random() < 0.7:
        name["given"] = chance.sample(NAMES, chance.randint(1, 2))
    if chance.random() < 0.3:
        name = {"text": f"{name.get('given', ['x'])[0]} {name['family']}"}
    made: Json = {
        "resourceType": "Patient",
        "name": [name],
        "gender": chance.choice(["male", "female", "other"]),
        "telecom": [{"system": "phone", "value": chance.choice(PHONES)}],
        "identifier": [
            {
                "type": {"coding": [{"system": "urn:kinds", "code": chance.choice(KINDS)}]},
                "system": chance.choice(["urn:a", "urn:b"]),
                "value": f"{chance.choice(['x', 'X'])}|{chance.randint(1, 9)}",
            }
        ],
    }
    if chance.random() < 0.5:
        made["birthDate"] = _date(chance)[:10]
    if chance.random() < 0.4:
        made["deceasedDateTime"] = _date(chance)
    elif chance.random() < 0.4:
        made["deceasedBoolean"] = chance.random() < 0.5
    return made


def _date(chance: random.Random) -> str:
    """Return a date of any precision, close to the edges of days, months and years."""
    year = chance.choice(["0001", "1999", "2016", "2020", "9999"])
    day = chance.choice(["01-01", "02-28", "12-31"])
    time = chance.choice(["00:00:00", "23:59:59", "23:59:60", "12:30:15.25", "12:30:15.250"])
    zone = chance.choice(["Z", "+05:30", "-05:00", "+14:00"])
    forms = [year, f"{year}-{day[:2]}", f"{year}-{day}", f"{year}-{day}T{time}{zone}"]
    return chance.choice(forms)


def _period(chance: random.Random) -> Json:
    start, end = sorted([_date(chance), _date(chance)])
    sides = {"start": start, "end": end}
    return {side: sides[side] for side in chance.choice([["start"], ["end"], ["start", "end"]])}


def _quantity(chance: random.Random) -> Json:
    number = chance.choice(
        ["0", "5", "5.0", "5.4", "5.5", "-5", "100", "100.00", "1000", "37", "98.6"]
    )
    made: Json = {"value": Decimal(number)}
    if chance.random() < 0.3:
        made["comparator"] = chance.choice(["<", "<=", ">", ">="])
    if chance.random() < 0.8:
        code = chance.choice(UNITS)
        made |= {"unit": chance.choice([code, "tablet"]), "system": UCUM, "code": code}
    return made


def _range(chance: random.Random) -> Json:
    low, high = sorted(chance.choice([4, 5, 6, 99, 100]) for _ in range(2))
    sides = {"low": {"value": low}, "high": {"value": high}}
    return {side: sides[side] for side in chance.choice([["low"], ["high"], ["low", "high"]])}


def _observation(chance: random.Random, count: int) -> Json:
    made: Json = {
        "resourceType": "Observation",
        "status": chance.choice(["final", "amended"]),
        "code": _concept(chance),
        "subject": _reference(chance, count),
        "component": [
            {"code": _concept(chance), "valueQuantity": _quantity(chance)} for _ in range(2)
        ],
    }
    match chance.randrange(4):
        case 0:
            made["effectiveDateTime"] = _date(chance)
        case 1:
            made["effectiveInstant"] = f"2020-01-01T{chance.choice(['00:00:00', '12:00:00.5'])}Z"
        case 2:
            made["effectivePeriod"] = _period(chance)
        case 3:
            event = [_date(chance) for _ in range(2)]
            made["effectiveTiming"] = {"event": event, "repeat": {"boundsPeriod": _period(chance)}}
    match chance.randrange(4):
        case 0:
            made["valueQuantity"] = _quantity(chance)
        case 1:
            made["valueCodeableConcept"] = _concept(chance)
        case 2:
            made["valueString"] = chance.choice(NAMES)
        case 3:
            made["valueDateTime"] = _date(chance)
    return made


def _concept(chance: random.Random) -> Json:
    codings = []
    for _ in range(chance.randint(1, 2)):
        coding = {"code": chance.choice(["a", "A", "b", "a$b", "a,b"])}
        if chance.random() < 0.8:
            systems = [
                "http://loinc.org",
                "urn:x",
                "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            ]
            coding["system"] = chance.choice(systems)
        if chance.random() < 0.5:
            coding["display"] = chance.choice(NAMES)
        codings.append(coding)
    concept: Json = {"coding": codings}
    if chance.random() < 0.5:
        concept["text"] = f"{chance.choice(NAMES)} {chance.choice(NAMES)}"
    return concept


def _reference(chance: random.Random, count: int) -> Json:
    at = f"strange-{chance.randrange(count)}"
    texts = [
        f"Patient/{at}", f"Patient/{at}/_history/{chance.randint(1, 2)}", f"Group/{at}",
        f"http://testserver/fhir/Patient/{at}", f"https://other.org/fhir/Patient/{at}",
        "urn:uuid:6a1c7d7e-3f52-4d6c-9f0b-0c4b6a3b1f11",
    ]  # fmt: skip
    if chance.random() < 0.15:
        system = {"system": "urn:a"} if chance.random() < 0.5 else {}
        return {"identifier": {**system, "value": chance.choice(["A1", "a1", "A2"])}}
    return {"reference": chance.choice(texts)}


def _encounter(chance: random.Random, count: int) -> Json:
    return {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": _reference(chance, count),
        "period": _period(chance),
        "length": _quantity(chance) | {"system": UCUM, "code": chance.choice(["min", "h", "d"])},
    }


def _risk(chance: random.Random, count: int) -> Json:
    prediction: Json = {"probabilityRange": _range(chance)}
    if chance.random() < 0.7:
        number = chance.choice(["5", "5.0", "5.4", "5.5", "95", "100", "104.9", "105", "-5", "0"])
        prediction = {"probabilityDecimal": Decimal(number)}
    return {
        "resourceType": "RiskAssessment",
        "status": "final",
        "subject": _reference(chance, count),
        "prediction": [prediction],
    }


def _sequence(chance: random.Random, _: int) -> Json:
    starts = [chance.choice([95, 97, 100, 104, 105]) for _ in range(2)]
    return {
        "resourceType": "MolecularSequence",
        "coordinateSystem": 0,
        "referenceSeq": {
            "chromosome": {"coding": [{"code": chance.choice(["1", "2"])}]},
            "windowStart": starts[0],
            "windowEnd": starts[0] + 10,
        },
        "variant": [{"start": start, "end": start + chance.choice([0, 5])} for start in starts],
    }


def _profiled(chance: random.Random, _: int) -> Json:
    url = chance.choice(
        ["http://x.org/vs", "http://x.org/vs/a", "http://x.org/vs/a/b", "http://x.org/vsa"]
    )
    return {
        "resourceType": "ValueSet",
        "meta": {
            "profile": [f"{url}{chance.choice(['', '|1', '|1.2', '|12'])}"],
            "tag": [{"system": "urn:tags", "code": chance.choice(["t", "T"])}],
        },
        "status": "draft",
        "url": url,
        "version": chance.choice(["1", "1.2", "2"]),
        "name": re.sub(r"\W", "_", chance.choice(NAMES)),
    }
