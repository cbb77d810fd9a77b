"""REST scenarios: requests built once, sent many times.

https://hl7.org/fhir/R4/http.html
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from benchmarks import mixes
from benchmarks.population import (
    CODE_SYSTEM,
    SEED,
    Population,
    birth_date,
    mix,
    name_of,
    observation,
    observation_id,
    patient,
    patient_id,
    shot,
)
from benchmarks.target import Target

SAMPLE = 4_000
CHECKED = 20
Requests = Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named stream of requests."""

    name: str
    requests: Requests


def scenarios(target: Target, population: Population) -> list[Scenario]:
    """Return every REST scenario over the loaded population."""
    return [
        Scenario("create Patient", partial(creates, target, "Patient", population)),
        Scenario("create Observation", partial(creates, target, "Observation", population)),
        Scenario("read Patient", partial(gets, target, reads, population)),
        Scenario("search patient+code by date", partial(gets, target, by_patient, population)),
        Scenario("search name+birthdate", partial(gets, target, by_name, population)),
        Scenario("search code, newest 20", partial(gets, target, by_code, population)),
        Scenario("search _include", partial(gets, target, including, population)),
        Scenario("search mix, 30 kinds", partial(gets, target, mixes.searches, population)),
        Scenario("history", partial(gets, target, mixes.histories, population)),
        Scenario("CRUD mix 10/60/25/5", partial(mixes.crud, target, population)),
    ]


def kinds(target: Target, population: Population) -> list[Scenario]:
    """Return a scenario for each kind of search in the mix."""
    return [
        Scenario(name, partial(repeated, target, paths))
        for name, paths in mixes.kinds(population).items()
    ]


def creates(target: Target, resource_type: str, population: Population) -> Iterator[bytes]:
    """Yield POSTs of ever new resources."""
    number = 0
    while True:
        # Patient numbers beyond the loaded ones; Observations of the loaded Patients.
        if resource_type == "Patient":
            body = patient(population.patients + number, None).encode()
        else:
            body = observation(population.observations + number, population, None).encode()
        yield target.request("POST", f"/{resource_type}", body)
        number += 1


def gets(
    target: Target, paths: Callable[[Population], Iterable[str]], population: Population
) -> Iterator[bytes]:
    """Yield GETs of the sampled paths, again and again."""
    return repeated(target, list(paths(population)))


def repeated(target: Target, paths: list[str]) -> Iterator[bytes]:
    """Yield GETs of these paths, again and again."""
    return cycle([target.request("GET", path) for path in paths])


def drawn(population: Population) -> list[int]:
    """Return the numbers of a seeded sample of Observations."""
    return random.Random(SEED).choices(range(population.observations), k=SAMPLE)


def reads(population: Population) -> Iterator[str]:
    """Yield reads of Patients."""
    for number in drawn(population):
        yield f"/Patient/{patient_id(mix(number, 9) % population.patients)}"


def by_patient(population: Population) -> Iterator[str]:
    """Yield the commonest clinical search: one patient, one code, newest first."""
    for number in drawn(population):
        found = shot(number, population)
        yield (
            f"/Observation?patient=Patient/{patient_id(found.patient)}"
            f"&code={CODE_SYSTEM}%7CA{found.code:03d}&_sort=-date"
        )


def by_name(population: Population) -> Iterator[str]:
    """Yield searches for a person by family, given name and birth date."""
    for number in drawn(population):
        person = mix(number, 9) % population.patients
        family, given = name_of(person)
        yield f"/Patient?family={family}&given={given}&birthdate={birth_date(person)}"


def by_code(population: Population) -> Iterator[str]:
    """Yield worklists: the newest results of one code over all patients."""
    for number in drawn(population):
        yield f"/Observation?code={CODE_SYSTEM}%7CA{shot(number, population).code:03d}&_count=20"


def including(population: Population) -> Iterator[str]:
    """Yield the patient+code search with patient and encounter on the page."""
    for number in drawn(population):
        found = shot(number, population)
        yield (
            f"/Observation?patient=Patient/{patient_id(found.patient)}"
            f"&code={CODE_SYSTEM}%7CA{found.code:03d}&_count=20"
            "&_include=Observation:subject&_include=Observation:encounter"
        )


def check(target: Target, population: Population) -> list[str]:
    """Ask each kind of search once and return what does not answer as it must."""
    faults = []
    last = observation_id(population.observations - 1)
    if target.fetch("GET", f"/Observation/{last}")[0] != 200:
        faults.append("the last Observation of the population is not there")
    for paths in (by_patient, by_name, including, by_code):
        path = next(paths(population))
        status, bundle = target.fetch("GET", path)
        if status != 200 or not bundle or not bundle.get("entry"):
            faults.append(f"{path.split('&')[0]}: status {status}, no entry")
    for name, found in mixes.kinds(population).items():
        answers = [target.fetch("GET", path) for path in found[:CHECKED]]
        if {status for status, _ in answers} != {200}:
            faults.append(f"{name}: an answer is not 200")
        elif not any(bundle.get("entry") for _, bundle in answers):
            faults.append(f"{name}: no entry in {CHECKED} answers")
    return faults
