"""The synthetic population is the same everywhere and hangs together."""

import json
from collections import Counter

from benchmarks.population import (
    Population,
    encounter_id,
    observation,
    patient,
    patient_id,
    shot,
)
from benchmarks.preload import resources

SMALL = Population.of(1_000)


def test_a_population_has_as_many_resources_as_asked() -> None:
    found = Counter(kind for kind, _, _ in resources(SMALL))
    assert found == {
        "Organization": 1,
        "Practitioner": 2,
        "Patient": 20,
        "Encounter": 80,
        "Condition": 50,
        "MedicationRequest": 50,
        "RiskAssessment": 10,
        "Observation": 787,
    }


def test_resources_are_json_under_their_own_type_and_id() -> None:
    for kind, resource_id, text in resources(SMALL):
        parsed = json.loads(text)
        assert (parsed["resourceType"], parsed["id"]) == (kind, resource_id)


def test_every_reference_is_to_a_resource_that_came_before() -> None:
    seen: set[str] = set()
    for kind, resource_id, text in resources(SMALL):
        parsed = json.loads(text)
        references = {
            parsed[name]["reference"]
            for name in ("subject", "encounter", "requester")
            if name in parsed
        }
        assert references <= seen
        seen.add(f"{kind}/{resource_id}")


def test_a_resource_is_a_function_of_its_number() -> None:
    assert patient(7, "a") == patient(7, "a")
    assert observation(7, SMALL, None) == observation(7, SMALL, None)
    assert "id" not in json.loads(observation(7, SMALL, None))


def test_a_shot_names_patient_and_code_of_its_observation() -> None:
    for number in range(100):
        taken = shot(number, SMALL)
        parsed = json.loads(observation(number, SMALL, None))
        assert parsed["subject"]["reference"] == f"Patient/{patient_id(taken.patient)}"
        assert parsed["code"]["coding"][0]["code"] == f"A{taken.code:03d}"
        assert parsed["encounter"]["reference"].removeprefix("Encounter/") in {
            encounter_id(taken.patient * 4 + quarter) for quarter in range(4)
        }


def test_few_codes_and_few_patients_hold_much_of_the_data() -> None:
    large = Population.of(100_000)
    shots = [shot(number, large) for number in range(20_000)]
    codes = Counter(one.code for one in shots)
    patients = Counter(one.patient for one in shots)
    assert 0.14 < codes[0] / len(shots) < 0.18
    assert 0.08 < sum(patients[n] for n in range(large.patients // 100)) / len(shots) < 0.12
