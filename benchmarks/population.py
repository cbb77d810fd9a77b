"""Synthetic Patients, Encounters and Observations, each a function of seed and number.

No state is carried from one resource to the next, so that any process can make
any of them again: a search scenario knows which patient and code the 700,000th
Observation has. The figures are no one's.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate

SEED = 2026
MASK = (1 << 64) - 1
CODES = 300
CODE_SYSTEM = "urn:oid:2.25.2026.300"
IDENTIFIER_SYSTEM = "urn:oid:2.25.2026.1"
FAMILIES = [
    "Sharma",
    "Verma",
    "Patel",
    "Reddy",
    "Nair",
    "Menon",
    "Iyer",
    "Rao",
    "Das",
    "Ghosh",
    "Bose",
    "Sen",
    "Dutta",
    "Khan",
    "Ansari",
    "Shaikh",
    "Singh",
    "Kaur",
    "Gill",
    "Sandhu",
    "Joshi",
    "Kulkarni",
    "Deshpande",
    "Patil",
    "Naik",
    "Fernandes",
    "D'Souza",
    "Pinto",
    "Gowda",
    "Shetty",
    "Hegde",
    "Pillai",
    "Varghese",
    "Thomas",
    "Mathew",
    "Krishnan",
    "Subramanian",
    "Mishra",
    "Pandey",
    "Tiwari",
    "Yadav",
    "Chauhan",
    "Rathore",
    "Mehta",
    "Shah",
    "Desai",
    "Bhatt",
    "Trivedi",
    "Choudhury",
    "Borah",
]
GIVENS = [
    "Aarav",
    "Aditi",
    "Akash",
    "Ananya",
    "Arjun",
    "Asha",
    "Bhavna",
    "Chetan",
    "Deepa",
    "Devika",
    "Farhan",
    "Gauri",
    "Harish",
    "Isha",
    "Jatin",
    "Kavya",
    "Kiran",
    "Lakshmi",
    "Leela",
    "Manoj",
    "Meera",
    "Mohan",
    "Nandini",
    "Neha",
    "Nikhil",
    "Nisha",
    "Omkar",
    "Pooja",
    "Prakash",
    "Priya",
    "Rahul",
    "Rajesh",
    "Ramesh",
    "Rekha",
    "Ritu",
    "Rohan",
    "Sana",
    "Sanjay",
    "Sarita",
    "Shreya",
    "Sneha",
    "Sunil",
    "Suresh",
    "Tara",
    "Uma",
    "Usha",
    "Varun",
    "Vidya",
    "Vijay",
    "Zoya",
]
# Zipf's law with exponent 1: the commonest code has a sixth of all Observations.
CODE_SHARES = tuple(accumulate(1 / rank for rank in range(1, CODES + 1)))


@dataclass(frozen=True, slots=True)
class Population:
    """How many resources of each type a data set of `total` resources holds."""

    organizations: int
    practitioners: int
    patients: int
    encounters: int
    conditions: int
    prescriptions: int
    assessments: int
    observations: int

    @classmethod
    def of(cls, total: int) -> "Population":
        """Return the mix for about `total` resources.

        2 % Patients, 8 % Encounters, 5 % Conditions, 5 % MedicationRequests, 1 %
        RiskAssessments, a few Organizations and Practitioners, else Observations.
        """
        patients = max(10, total // 50)
        organizations, practitioners = max(1, patients // 500), max(2, patients // 100)
        clinical = 5 * patients // 2
        others = organizations + practitioners + 5 * patients + 2 * clinical + patients // 2
        return cls(
            organizations,
            practitioners,
            patients,
            patients * 4,
            clinical,
            clinical,
            patients // 2,
            total - others,
        )


@dataclass(frozen=True, slots=True)
class Shot:
    """What a scenario needs to know of an Observation: patient number and code number."""

    patient: int
    code: int


def mix(number: int, kind: int) -> int:
    """Return 64 well-mixed bits of the number (splitmix64, Steele, Lea and Flood 2014)."""
    z = (number * 0x9E3779B97F4A7C15 + kind * 0xBF58476D1CE4E5B9 + SEED) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def code_of(share: float) -> int:
    """Return the code number (0 is the commonest) at `share` in [0,1) of Zipf's mass."""
    return bisect_left(CODE_SHARES, share * CODE_SHARES[-1])


def shot(number: int, population: Population) -> Shot:
    """Return patient and code of Observation `number`.

    A patient's share grows with the square of a uniform draw: the busiest
    hundredth of the patients holds 10 % of the Observations.
    """
    bits = mix(number, 3)
    patient = int(population.patients * ((bits & 0xFFFFFF) / 0x1000000) ** 2)
    return Shot(patient, code_of((bits >> 24 & 0xFFFFFF) / 0x1000000))


def patient_id(number: int) -> str:
    """Return the id of Patient `number`."""
    return f"bench-p-{number}"


def encounter_id(number: int) -> str:
    """Return the id of Encounter `number`."""
    return f"bench-e-{number}"


def observation_id(number: int) -> str:
    """Return the id of Observation `number`."""
    return f"bench-o-{number}"


def name_of(number: int) -> tuple[str, str]:
    """Return the family and first given name of Patient `number`."""
    bits = mix(number, 1)
    return FAMILIES[bits % len(FAMILIES)], GIVENS[(bits >> 8) % len(GIVENS)]


def birth_date(number: int) -> str:
    """Return the birth date of Patient `number`."""
    days = (mix(number, 1) >> 16) % 33_000
    return (date(1935, 1, 1) + timedelta(days=days)).isoformat()


def patient(number: int, resource_id: str | None) -> str:
    """Return the JSON of Patient `number`, without `id` where `resource_id` is None."""
    family, given = name_of(number)
    bits = mix(number, 1)
    second = GIVENS[(bits >> 40) % len(GIVENS)]
    gender = ("female", "male")[bits >> 63]
    return (
        f'{{"resourceType":"Patient",{member(resource_id)}'
        f'"identifier":[{{"use":"usual","system":"{IDENTIFIER_SYSTEM}","value":"MR{number:08d}"}}],'
        f'"active":true,"name":[{{"use":"official","family":"{family}",'
        f'"given":["{given}","{second}"]}}],'
        f'"telecom":[{{"system":"phone","value":"+91 98{bits % 10**8:08d}","use":"mobile"}}],'
        f'"gender":"{gender}","birthDate":"{birth_date(number)}",'
        f'"address":[{{"use":"home","line":["{bits % 400} Station Road"],"city":"Pune",'
        f'"state":"Maharashtra","postalCode":"{411000 + bits % 60}","country":"IN"}}]}}'
    )


def encounter(number: int, resource_id: str | None) -> str:
    """Return the JSON of Encounter `number`, one of four of its Patient."""
    start = moment(mix(number, 2))
    end = start + timedelta(hours=1 + (mix(number, 2) >> 50) % 96)
    return (
        f'{{"resourceType":"Encounter",{member(resource_id)}"status":"finished",'
        '"class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB"},'
        f'"subject":{{"reference":"Patient/{patient_id(number // 4)}"}},'
        f'"period":{{"start":"{instant(start)}","end":"{instant(end)}"}}}}'
    )


def observation(number: int, population: Population, resource_id: str | None) -> str:
    """Return the JSON of laboratory Observation `number`, some 900 bytes."""
    taken = shot(number, population)
    bits = mix(number, 4)
    start = moment(bits)
    value = f"{bits % 400 + 10}.{bits >> 20 & 7}{bits >> 23 & 7}"
    high = bits % 400 + 60
    return (
        f'{{"resourceType":"Observation",{member(resource_id)}"status":"final",'
        '"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/'
        'observation-category","code":"laboratory","display":"Laboratory"}]}],'
        f'"code":{{"coding":[{{"system":"{CODE_SYSTEM}","code":"A{taken.code:03d}",'
        f'"display":"Analyte {taken.code}"}}],"text":"Analyte {taken.code}"}},'
        f'"subject":{{"reference":"Patient/{patient_id(taken.patient)}"}},'
        f'"encounter":{{"reference":"Encounter/{encounter_id(taken.patient * 4 + bits % 4)}"}},'
        f'"effectiveDateTime":"{instant(start)}",'
        f'"issued":"{instant(start + timedelta(minutes=90))}",'
        f'"valueQuantity":{{"value":{value},"unit":"mg/dL",'
        '"system":"http://unitsofmeasure.org","code":"mg/dL"},'
        '"interpretation":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/'
        'v3-ObservationInterpretation","code":"N"}]}],'
        f'"referenceRange":[{{"low":{{"value":10,"unit":"mg/dL"}},'
        f'"high":{{"value":{high},"unit":"mg/dL"}}}}]}}'
    )


def member(resource_id: str | None) -> str:
    """Return the `id` member with its comma, or nothing."""
    return f'"id":"{resource_id}",' if resource_id else ""


def moment(bits: int) -> datetime:
    """Return a minute in the five years from 2020."""
    return datetime(2020, 1, 1) + timedelta(minutes=bits % (1826 * 24 * 60))  # noqa: DTZ001


def instant(when: datetime) -> str:
    """Return the time as written in India."""
    return when.isoformat(timespec="seconds") + "+05:30"


def patients(population: Population) -> Iterator[tuple[str, str, str]]:
    """Yield (type, id, JSON) of every Patient."""
    for number in range(population.patients):
        yield "Patient", patient_id(number), patient(number, patient_id(number))


def encounters(population: Population) -> Iterator[tuple[str, str, str]]:
    """Yield (type, id, JSON) of every Encounter."""
    for number in range(population.encounters):
        yield "Encounter", encounter_id(number), encounter(number, encounter_id(number))


def observations(population: Population) -> Iterator[tuple[str, str, str]]:
    """Yield (type, id, JSON) of every Observation."""
    for number in range(population.observations):
        found = observation_id(number)
        yield "Observation", found, observation(number, population, found)
