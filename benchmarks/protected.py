"""Records that rights look at: relationships, labels and consents beside the population.

https://hl7.org/fhir/R4/security-labels.html
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.population import (
    CODE_SYSTEM,
    Population,
    code_of,
    instant,
    mix,
    moment,
    observation,
    observation_id,
    patient_id,
    shot,
)

PATIENT, DOCTOR = "demo-patient", "demo-doctor"
"""Who the sample users `patient` and `doctor` are."""
OWN = 300
"""Results of the sample user `patient`."""
LABELLED = 100
"""Each of so many results has a label."""
WITHHELD = "A299"
"""The code of results that some patients let nobody see."""
_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


@dataclass(frozen=True, slots=True)
class Result:
    """A laboratory result that a request asks for: its id, and those of patient and code."""

    id: str
    patient: str
    code: str


def cared_for(population: Population, most: int) -> list[int]:
    """Return the numbers of the patients of the sample doctor, evenly spread."""
    step = max(1, population.patients // most)
    return list(range(0, population.patients, step))[:most]


def results(population: Population, patients: Sequence[int], sample: int) -> list[Result]:
    """Return results of these patients that are neither labelled nor withheld.

    Those of the busier patients are the likelier.
    """
    known, found = frozenset(patients), []
    for number in range(population.observations):
        taken = shot(number, population)
        code = f"A{taken.code:03d}"
        if taken.patient in known and number % LABELLED and code != WITHHELD:
            found.append(Result(observation_id(number), patient_id(taken.patient), code))
    step = max(1, len(found) // sample)
    return found[::step]


def own_results() -> list[Result]:
    """Return the results of the sample user `patient`."""
    return [Result(f"bench-own-{number}", PATIENT, _own_code(number)) for number in range(OWN)]


def _own_code(number: int) -> str:
    return f"A{code_of((mix(number, 21) & 0xFFFF) / 0x10000):03d}"


def records(population: Population, doctors: Sequence[int]) -> Iterator[tuple[str, str, str]]:
    """Yield (type, id, JSON) of what rights look at: relationships, labels, consents.

    Everyone is cared for by somebody, the `doctors` patients by the sample doctor; a tenth have
    a consent, of which a fifth deny something; of a hundred results one is restricted and one of
    a thousand very restricted.
    """
    yield from _own(population)
    own = frozenset(doctors)
    for number in range(population.patients):
        doctor = DOCTOR if number in own else f"bench-d-{number % population.practitioners}"
        yield _visit(f"bench-care-{number}", patient_id(number), doctor)
        if number % 10 == 0:
            yield _consent(number)
    for number in range(0, population.observations, LABELLED):
        code = "V" if number % 1000 == 0 else "R"
        text = observation(number, population, observation_id(number))
        meta = f'"meta":{{"security":[{{"system":"{_CONFIDENTIALITY}","code":"{code}"}}]}},'
        yield (
            "Observation",
            observation_id(number),
            text.replace('"status":', meta + '"status":', 1),
        )


def _own(population: Population) -> Iterator[tuple[str, str, str]]:
    yield _visit("bench-own", PATIENT, DOCTOR)
    for one, number in zip(own_results(), range(OWN), strict=True):
        text = json.loads(observation(number, population, one.id))
        text["subject"] = {"reference": f"Patient/{PATIENT}"}
        text["encounter"] = {"reference": "Encounter/bench-own"}
        text["code"]["coding"][0]["code"] = one.code
        yield "Observation", one.id, json.dumps(text)


def _visit(id_: str, patient: str, doctor: str) -> tuple[str, str, str]:
    found = {
        "resourceType": "Encounter",
        "id": id_,
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": f"Patient/{patient}"},
        "participant": [{"individual": {"reference": f"Practitioner/{doctor}"}}],
        "period": {"start": instant(moment(mix(len(patient), 2)))},
    }
    return "Encounter", id_, json.dumps(found)


def _consent(number: int) -> tuple[str, str, str]:
    """Return a consent that permits, or denies the results of one laboratory code."""
    scope = "http://terminology.hl7.org/CodeSystem/consentscope"
    provision: dict[str, object] = {"type": "permit"}
    if number % 50 == 0:
        denied = {"coding": [{"system": CODE_SYSTEM, "code": WITHHELD}]}
        provision["provision"] = [{"type": "deny", "code": [denied]}]
    found = {
        "resourceType": "Consent",
        "id": f"bench-consent-{number}",
        "status": "active",
        "scope": {"coding": [{"system": scope, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient_id(number)}"},
        "policyRule": {"text": "as agreed"},
        "provision": provision,
    }
    return "Consent", str(found["id"]), json.dumps(found)
