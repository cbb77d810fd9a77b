"""Mixes of requests: CRUD in the shares of a busy hospital, and thirty kinds of search.

https://hl7.org/fhir/R4/http.html
"""

import random
from collections.abc import Callable, Iterator

from benchmarks.clinical import PROFILE, condition_code, drug_code, person_of
from benchmarks.population import (
    CODE_SYSTEM,
    FAMILIES,
    IDENTIFIER_SYSTEM,
    SEED,
    Population,
    birth_date,
    encounter_id,
    name_of,
    observation,
    observation_id,
    patient_id,
    shot,
)
from benchmarks.target import Target

UCUM = "http://unitsofmeasure.org"
CRUD = {"create": 10, "read": 60, "update": 25, "delete": 5}
"""Interactions and their shares in percent."""

EACH = 200
"""Searches of each kind, with different values."""

SAMPLE = 4_000

Draw = random.Random


def crud(target: Target, population: Population) -> Iterator[bytes]:
    """Yield creates, reads, updates and deletes of Observations in random order.

    Deletes take from the upper half of the Observations, from a random one on;
    reads and updates stay in the lower half. Each update changes the value.
    """
    draw = random.SystemRandom()
    half = population.observations // 2
    new = population.observations + draw.randrange(1 << 40)
    gone = half + draw.randrange(half)
    while True:
        (name,) = draw.choices(list(CRUD), list(CRUD.values()))
        number = draw.randrange(half)
        path = f"/Observation/{observation_id(number)}"
        if name == "read":
            yield target.request("GET", path)
        elif name == "create":
            new += 1
            body = observation(new, population, None)
            yield target.request("POST", "/Observation", body.encode())
        elif name == "update":
            new += 1
            yield target.request("PUT", path, _changed(number, new, population).encode())
        else:
            gone = gone + 1 if gone + 1 < population.observations else half
            yield target.request("DELETE", f"/Observation/{observation_id(gone)}")


def _changed(number: int, serial: int, population: Population) -> str:
    """Return Observation `number` with a value that it did not have before."""
    text = observation(number, population, observation_id(number))
    return text.replace(
        '"valueQuantity":{"value":', f'"valueQuantity":{{"value":{serial % 900 + 1}', 1
    )


def histories(population: Population) -> Iterator[str]:
    """Yield histories of single Observations."""
    draw = Draw(SEED)
    for _ in range(SAMPLE):
        number = draw.randrange(population.observations // 2)
        yield f"/Observation/{observation_id(number)}/_history"


def searches(population: Population) -> Iterator[str]:
    """Yield each kind of search as often as the others, in a shuffled order."""
    found = [path for kind in kinds(population).values() for path in kind]
    Draw(SEED).shuffle(found)
    yield from found


def kinds(population: Population) -> dict[str, list[str]]:
    """Return `EACH` searches of each of the thirty kinds, by the kind's name."""
    draw = Draw(SEED)
    return {
        make.__name__.strip("_").replace("_", " "): [make(draw, population) for _ in range(EACH)]
        for make in _KINDS
    }


def _person(draw: Draw, population: Population) -> int:
    """Return a patient who has Observations, the busier the likelier."""
    return shot(draw.randrange(population.observations), population).patient


def _token(code: str) -> str:
    return f"{CODE_SYSTEM}%7C{code}"


def _analyte(draw: Draw, population: Population) -> str:
    found = shot(draw.randrange(population.observations), population)
    return _token(f"A{found.code:03d}")


def _both(draw: Draw, population: Population) -> str:
    """Return patient and code of an Observation."""
    found = shot(draw.randrange(population.observations), population)
    return f"patient=Patient/{patient_id(found.patient)}&code={_token(f'A{found.code:03d}')}"


def _day(draw: Draw) -> str:
    return f"{draw.randrange(2020, 2025)}-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}"


def _month(draw: Draw) -> tuple[str, str]:
    year, month = draw.randrange(2020, 2024), draw.randrange(1, 12)
    return f"{year}-{month:02d}-01", f"{year}-{month + 1:02d}-01"


def _identifier(draw: Draw, population: Population) -> str:
    return f"{IDENTIFIER_SYSTEM}%7CMR{_person(draw, population):08d}"


def _ever_ill(draw: Draw, population: Population) -> str:
    return condition_code(draw.randrange(population.conditions))


def _patient_by_identifier(draw: Draw, population: Population) -> str:
    return f"/Patient?identifier={_identifier(draw, population)}"


def _patient_by_start_of_name(draw: Draw, _: Population) -> str:
    return f"/Patient?name={draw.choice(FAMILIES)[:4]}&_count=20"


def _patient_by_exact_name(draw: Draw, population: Population) -> str:
    person = _person(draw, population)
    return f"/Patient?family:exact={name_of(person)[0]}&birthdate={birth_date(person)}"


def _patients_sorted_by_name(draw: Draw, population: Population) -> str:
    given = name_of(_person(draw, population))[1]
    return f"/Patient?given={given}&gender=female&_sort=family,-birthdate&_count=20"


def _patients_by_birth_year(draw: Draw, _: Population) -> str:
    year = draw.randrange(1940, 2020)
    return f"/Patient?birthdate=ge{year}&birthdate=lt{year + 1}&_sort=birthdate&_count=20"


def _patients_by_address(draw: Draw, _: Population) -> str:
    code = 411000 + draw.randrange(60)
    return f"/Patient?address-city=Pune&address-postalcode={code}&_count=20"


def _results_of_patient(draw: Draw, population: Population) -> str:
    return f"/Observation?{_both(draw, population)}&_sort=-date"


def _recent_laboratory(draw: Draw, population: Population) -> str:
    person = patient_id(_person(draw, population))
    return f"/Observation?patient={person}&category=laboratory&date=ge2022&_count=20"


def _month_of_analyte(draw: Draw, population: Population) -> str:
    start, end = _month(draw)
    code = _analyte(draw, population)
    return f"/Observation?code={code}&date=ge{start}&date=lt{end}&_sort=-date&_count=20"


def _high_values(draw: Draw, population: Population) -> str:
    value = f"gt{draw.randrange(300, 400)}%7C{UCUM}%7Cmg/dL"
    return f"/Observation?code={_analyte(draw, population)}&value-quantity={value}&_count=20"


def _high_values_in_another_unit(draw: Draw, _: Population) -> str:
    return f"/Observation?value-quantity=gt{draw.randrange(30, 41) / 10}%7C{UCUM}%7Cg/L&_count=20"


def _code_with_value(draw: Draw, population: Population) -> str:
    value = draw.randrange(100, 400)
    code = _analyte(draw, population)
    return f"/Observation?code-value-quantity={code}$gt{value}&_count=20"


def _results_of_encounter(draw: Draw, population: Population) -> str:
    encounter = encounter_id(_person(draw, population) * 4 + draw.randrange(4))
    return f"/Observation?encounter=Encounter/{encounter}&_count=20"


def _results_by_identifier(draw: Draw, population: Population) -> str:
    return f"/Observation?subject:Patient.identifier={_identifier(draw, population)}&_count=20"


def _results_by_name(draw: Draw, population: Population) -> str:
    found = shot(draw.randrange(population.observations), population)
    family, given = name_of(found.patient)
    code = _token(f"A{found.code:03d}")
    return (
        f"/Observation?patient.family={family}&patient.given={given}"
        f"&patient.birthdate={birth_date(found.patient)}&code={code}&_count=20"
    )


def _newest_final(_: Draw, __: Population) -> str:
    return "/Observation?status=final&_sort=-_lastUpdated&_count=20"


def _results_with_context(draw: Draw, population: Population) -> str:
    include = "_include=Observation:encounter&_include=Observation:patient"
    return f"/Observation?{_both(draw, population)}&_count=20&{include}"


def _encounters_of_patient(draw: Draw, population: Population) -> str:
    return f"/Encounter?patient={patient_id(_person(draw, population))}&_sort=date"


def _encounters_of_day(draw: Draw, _: Population) -> str:
    return f"/Encounter?date={_day(draw)}&_count=20"


def _encounters_with_results(draw: Draw, population: Population) -> str:
    person = patient_id(_person(draw, population))
    return f"/Encounter?patient={person}&_count=2&_revinclude=Observation:encounter"


def _patients_with_result(draw: Draw, _: Population) -> str:
    code = _token(f"A{draw.randrange(200, 300)}")
    return f"/Patient?_has:Observation:patient:code={code}&_count=20"


def _patients_with_condition(draw: Draw, population: Population) -> str:
    code = _token(_ever_ill(draw, population))
    return f"/Patient?_has:Condition:patient:code={code}&gender=male&_count=20"


def _active_conditions(draw: Draw, population: Population) -> str:
    person = person_of(draw.randrange(population.conditions), 5, population)
    return f"/Condition?patient={patient_id(person)}&clinical-status=active"


def _conditions_by_onset(draw: Draw, population: Population) -> str:
    code = _token(_ever_ill(draw, population))
    return f"/Condition?code={code}&onset-date=ge{_day(draw)}&_sort=-onset-date&_count=20"


def _active_medication(draw: Draw, population: Population) -> str:
    person = person_of(draw.randrange(population.prescriptions), 6, population)
    include = "_include=MedicationRequest:requester"
    return f"/MedicationRequest?patient={patient_id(person)}&status=active&{include}"


def _prescriptions_of_drug(draw: Draw, population: Population) -> str:
    code = _token(drug_code(draw.randrange(population.prescriptions)))
    return f"/MedicationRequest?code={code}&authoredon=ge{_day(draw)}&_count=20"


def _high_risks(draw: Draw, _: Population) -> str:
    return f"/RiskAssessment?probability=gt0.{draw.randrange(80, 99)}&_count=20"


def _risks_by_profile(draw: Draw, _: Population) -> str:
    return f"/RiskAssessment?_profile={PROFILE}&date=ge{_day(draw)}&_sort=-date&_count=20"


def _compartment(draw: Draw, population: Population) -> str:
    found = shot(draw.randrange(population.observations), population)
    return f"/Patient/{patient_id(found.patient)}/Observation?code={_token(f'A{found.code:03d}')}"


def _several_codes(draw: Draw, population: Population) -> str:
    person = patient_id(_person(draw, population))
    codes = ",".join(f"A{draw.randrange(40):03d}" for _ in range(8))
    return f"/Observation?patient={person}&code={codes}&status:not=cancelled&_count=20"


_KINDS: tuple[Callable[[Draw, Population], str], ...] = (
    _patient_by_identifier,
    _patient_by_start_of_name,
    _patient_by_exact_name,
    _patients_sorted_by_name,
    _patients_by_birth_year,
    _patients_by_address,
    _results_of_patient,
    _recent_laboratory,
    _month_of_analyte,
    _high_values,
    _high_values_in_another_unit,
    _code_with_value,
    _results_of_encounter,
    _results_by_identifier,
    _results_by_name,
    _newest_final,
    _results_with_context,
    _encounters_of_patient,
    _encounters_of_day,
    _encounters_with_results,
    _patients_with_result,
    _patients_with_condition,
    _active_conditions,
    _conditions_by_onset,
    _active_medication,
    _prescriptions_of_drug,
    _high_risks,
    _risks_by_profile,
    _compartment,
    _several_codes,
)
