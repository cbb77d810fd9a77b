"""What the benchmark of rights asks for may be seen, and what limits it is there."""

import json

from benchmarks import protected
from benchmarks.population import Population, observation_id, patient_id

SMALL = Population.of(5_000)
DOCTORS = protected.cared_for(SMALL, 10)
STORED = {
    f"{kind}/{id_}": json.loads(text) for kind, id_, text in protected.records(SMALL, DOCTORS)
}


def test_results_of_the_benchmark_are_neither_labelled_nor_withheld() -> None:
    found = protected.results(SMALL, DOCTORS, 10_000)
    labelled = {one for one, resource in STORED.items() if "meta" in resource}
    assert len(labelled) == len(range(0, SMALL.observations, protected.LABELLED))
    assert not labelled & {f"Observation/{one.id}" for one in found}
    assert protected.WITHHELD not in {one.code for one in found}
    assert {one.patient for one in found} == {patient_id(number) for number in DOCTORS}


def test_everyone_is_cared_for_and_the_doctor_by_no_more_than_asked() -> None:
    doctor = {"individual": {"reference": f"Practitioner/{protected.DOCTOR}"}}
    visits = [one for one in STORED.values() if one["resourceType"] == "Encounter"]
    treated = {one["subject"]["reference"] for one in visits if doctor in one["participant"]}
    own = {f"Patient/{patient_id(number)}" for number in DOCTORS}
    assert treated == own | {f"Patient/{protected.PATIENT}"}
    assert len(visits) == SMALL.patients + 1


def test_some_consents_deny_a_code() -> None:
    consents = [one for one in STORED.values() if one["resourceType"] == "Consent"]
    denying = [one for one in consents if "provision" in one["provision"]]
    assert (len(consents), len(denying)) == (SMALL.patients // 10, SMALL.patients // 50)


def test_a_labelled_result_is_else_the_same() -> None:
    labelled = STORED[f"Observation/{observation_id(0)}"]
    assert [one["code"] for one in labelled["meta"]["security"]] == ["V"]
    assert labelled["status"] == "final"
