"""Organizations, Practitioners, Conditions, MedicationRequests and RiskAssessments.

With them the population has every kind of search parameter that the mix of
searches asks. Each is a function of its number, as in population.py.
"""

from collections.abc import Iterator

from benchmarks.population import (
    CODE_SYSTEM,
    FAMILIES,
    GIVENS,
    Population,
    instant,
    mix,
    moment,
    patient_id,
)

PROFILE = "http://example.org/fhir/StructureDefinition/fall-risk"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CONDITIONS = 120
DRUGS = 90


def organization_id(number: int) -> str:
    """Return the id of Organization `number`."""
    return f"bench-h-{number}"


def practitioner_id(number: int) -> str:
    """Return the id of Practitioner `number`."""
    return f"bench-d-{number}"


def person_of(number: int, kind: int, population: Population) -> int:
    """Return the patient number of Condition, MedicationRequest or RiskAssessment `number`."""
    return mix(number, kind) % population.patients


def condition_code(number: int) -> str:
    """Return the code of Condition `number`; low ones are common."""
    bits = mix(number, 5)
    return f"C{min((bits >> 8) % CONDITIONS, (bits >> 20) % CONDITIONS):03d}"


def drug_code(number: int) -> str:
    """Return the code of what MedicationRequest `number` orders."""
    return f"M{(mix(number, 6) >> 8) % DRUGS:03d}"


def probability(number: int) -> str:
    """Return the probability that RiskAssessment `number` predicts, in thousandths."""
    return f"0.{(mix(number, 7) >> 8) % 1000:03d}"


def organizations(population: Population) -> Iterator[tuple[str, str, str]]:
    """Yield (type, id, JSON) of every Organization."""
    for number in range(population.organizations):
        name = f"{FAMILIES[number % len(FAMILIES)]} Hospital {number}"
        found = organization_id(number)
        text = f'{{"resourceType":"Organization","id":"{found}","active":true,"name":"{name}"}}'
        yield "Organization", found, text


def practitioners(population: Population) -> Iterator[tuple[str, str, str]]:
    """Yield (type, id, JSON) of every Practitioner."""
    for number in range(population.practitioners):
        found, bits = practitioner_id(number), mix(number, 8)
        text = (
            f'{{"resourceType":"Practitioner","id":"{found}",'
            f'"identifier":[{{"system":"urn:oid:2.25.2026.2","value":"D{number:06d}"}}],'
            f'"name":[{{"family":"{FAMILIES[bits % len(FAMILIES)]}",'
            f'"given":["{GIVENS[(bits >> 8) % len(GIVENS)]}"]}}]}}'
        )
        yield "Practitioner", found, text


def conditions(population: Population) -> Iterator[tuple[str, str, str]]:
    """Yield (type, id, JSON) of every Condition."""
    for number in range(population.conditions):
        found, bits = f"bench-c-{number}", mix(number, 5)
        status = "resolved" if bits >> 60 & 1 else "active"
        person = patient_id(person_of(number, 5, population))
        code = condition_code(number)
        text = (
            f'{{"resourceType":"Condition","id":"{found}","clinicalStatus":{{"coding":'
            f'[{{"system":"{CLINICAL}","code":"{status}"}}]}},'
            f'"code":{{"coding":[{{"system":"{CODE_SYSTEM}","code":"{code}"}}],'
            f'"text":"Disorder {code}"}},"subject":{{"reference":"Patient/{person}"}},'
            f'"onsetDateTime":"{instant(moment(bits))}"}}'
        )
        yield "Condition", found, text


def prescriptions(population: Population) -> Iterator[tuple[str, str, str]]:
    """Yield (type, id, JSON) of every MedicationRequest."""
    for number in range(population.prescriptions):
        found, bits = f"bench-m-{number}", mix(number, 6)
        status = "completed" if bits >> 60 & 1 else "active"
        person = patient_id(person_of(number, 6, population))
        doctor = practitioner_id((bits >> 30) % population.practitioners)
        text = (
            f'{{"resourceType":"MedicationRequest","id":"{found}","status":"{status}",'
            f'"intent":"order","medicationCodeableConcept":{{"coding":[{{"system":"{CODE_SYSTEM}",'
            f'"code":"{drug_code(number)}"}}]}},"subject":{{"reference":"Patient/{person}"}},'
            f'"requester":{{"reference":"Practitioner/{doctor}"}},'
            f'"authoredOn":"{instant(moment(bits))}"}}'
        )
        yield "MedicationRequest", found, text


def assessments(population: Population) -> Iterator[tuple[str, str, str]]:
    """Yield (type, id, JSON) of every RiskAssessment."""
    for number in range(population.assessments):
        found, bits = f"bench-r-{number}", mix(number, 7)
        person = patient_id(person_of(number, 7, population))
        text = (
            f'{{"resourceType":"RiskAssessment","id":"{found}",'
            f'"meta":{{"profile":["{PROFILE}"]}},"status":"final",'
            f'"subject":{{"reference":"Patient/{person}"}},'
            f'"occurrenceDateTime":"{instant(moment(bits))}",'
            f'"prediction":[{{"probabilityDecimal":{probability(number)}}}]}}'
        )
        yield "RiskAssessment", found, text
