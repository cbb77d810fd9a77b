"""What each role may do with each type, letter by letter, of a database with some of all.

The rows are those of the specification's table of roles (3.1), put down here a second time. For
each patient's type there is a resource `in` the limit of every role, one `out` of all, and of
types that are limited by a category or a state one of each.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from interactions.searching import ref

from fhir_server.access import roles
from fhir_server.access.queries import Walls
from fhir_server.access.role_table import shipped
from fhir_server.access.roles import Person
from fhir_server.access.type_sets import DEFINITIONS, DIRECTORY
from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.interactions.draft import NEVER_STORED
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import definitions
from fhir_server.rights import BEFORE, LETTERS, Rights
from fhir_server.search.condition import NEVER, Condition
from fhir_server.server import Server
from fhir_server.store.walls import meeting

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
Row = tuple[str, str] | tuple[str, str, str]
"""Letters, types, and ids where not all that is in the limit is meant."""

KNOWN = definitions.load()
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"
SNOMED = "http://snomed.info/sct"
ACTORS = ("Practitioner/me",)

FINANCE = """Account ChargeItem Invoice Claim ClaimResponse Coverage CoverageEligibilityRequest
    CoverageEligibilityResponse ExplanationOfBenefit PaymentNotice PaymentReconciliation"""
IMAGING = "ImagingStudy Media"
MEDICATION = "MedicationAdministration MedicationDispense MedicationRequest MedicationStatement"
CLINICAL = f"""AdverseEvent AllergyIntolerance Appointment AppointmentResponse Binary BodyStructure
    CarePlan CareTeam ClinicalImpression Communication CommunicationRequest Composition Condition
    Consent DetectedIssue Device DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest
    DocumentReference Encounter EpisodeOfCare FamilyMemberHistory Flag Goal Immunization
    ImmunizationEvaluation ImmunizationRecommendation List MolecularSequence NutritionOrder
    Observation Procedure Provenance QuestionnaireResponse RelatedPerson RequestGroup
    RiskAssessment ServiceRequest Specimen SupplyDelivery SupplyRequest Task VisionPrescription
    {IMAGING} {MEDICATION}"""
STAFF: Row = ("rs", " ".join(DIRECTORY | DEFINITIONS))

TABLE: Mapping[str, tuple[Row, ...]] = {
    "ADMIN": (
        (LETTERS, " ".join(DIRECTORY | DEFINITIONS | {"Subscription"})),
        ("rs", "AuditEvent"),
        ("rs", f"Patient Medication {CLINICAL} {FINANCE}", "in out of-in of-out"),
    ),
    "DOCTOR": (
        (
            "crus",
            """Encounter Condition Procedure AllergyIntolerance MedicationRequest ServiceRequest
            CarePlan CareTeam Goal Composition DocumentReference Communication Observation
            DiagnosticReport Immunization Consent QuestionnaireResponse Task Appointment""",
        ),
        ("rsu", "Patient"),
        ("rs", f"{CLINICAL} Coverage Medication"),
        ("cu", "Binary"),  # what a DocumentReference points to
    ),
    "NURSE": (
        ("crus", "Observation", "vital-signs survey exam social-history"),
        (
            "crus",
            """MedicationAdministration NutritionOrder CarePlan Task Immunization
            Communication""",
        ),
        ("rsu", "Encounter"),
        ("rs", f"{CLINICAL} Patient Medication"),
    ),
    "LAB_STAFF": (
        ("crus", "Specimen"),
        ("crus", "Observation", "laboratory"),
        ("crus", "DiagnosticReport", "LAB"),
        ("rsu", "ServiceRequest", "108252007 out"),  # it is itself the order
        ("rsu", "Task"),
        ("rs", "Patient Encounter"),
        ("crs", "Binary"),  # what a report presents
    ),
    "RADIOLOGIST": (
        ("crus", IMAGING),
        ("crus", "DiagnosticReport", "RAD"),
        ("crus", "Observation", "imaging"),
        ("rsu", "ServiceRequest", "363679005 out"),
        ("rsu", "Task"),
        ("rs", "Patient Condition AllergyIntolerance Observation Procedure"),
        ("crs", "Binary"),
    ),
    "PHARMACY_STAFF": (
        ("crus", "MedicationDispense Medication SupplyRequest SupplyDelivery"),
        ("rsu", "MedicationRequest"),
        (
            "rs",
            """AllergyIntolerance MedicationAdministration MedicationStatement Patient
            Encounter""",
        ),
        ("rs", "Observation", "laboratory vital-signs"),
    ),
    "BILLING_STAFF": (
        ("crus", FINANCE, "in out"),
        ("rs", "Patient Encounter Condition Procedure"),
        ("rs", "ServiceRequest"),
    ),
    "RECEPTIONIST": (
        (
            "crus",
            "Patient RelatedPerson Appointment AppointmentResponse Coverage Encounter",
            "in out",
        ),
        ("rsu", "Schedule Slot", "in out"),
    ),
    "PATIENT": (
        (
            "rs",
            f"""Patient Basic EnrollmentRequest MeasureReport Person ResearchSubject Medication
            {CLINICAL} {FINANCE}""",
        ),
        (
            "c",
            """Appointment AppointmentResponse QuestionnaireResponse Communication Consent""",
        ),
        ("c", "Observation", "survey"),
        ("u", "QuestionnaireResponse", "in-progress"),
        ("u", "Appointment", "proposed"),
        ("u", "Communication", "preparation"),
        ("u", "Consent", "draft"),
    ),
}
# Without a patient's compartment there is nothing of the patient's own.
NOT_OWN = {"Device", "PaymentNotice", "PaymentReconciliation", "Task"}
FINAL = {
    "Composition": "final",
    "DiagnosticReport": "final",
    "DocumentReference": "current",
    "ImagingStudy": "available",
    "Observation": "final",
}
ENDED = {
    "Account": "entered-in-error",
    "Claim": "cancelled",
    "Coverage": "cancelled",
    "MedicationRequest": "completed",
    "ServiceRequest": "revoked",
}
KINDS = {
    "Observation": (
        CATEGORY,
        "vital-signs survey exam social-history laboratory imaging activity",
    ),
    "DiagnosticReport": (SECTION, "LAB RAD OTH"),
    "ServiceRequest": (SNOMED, "108252007 363679005 409063005"),
}
DRAFTS = {
    "QuestionnaireResponse": "in-progress",
    "Appointment": "proposed",
    "Communication": "preparation",
    "Consent": "draft",
}
OF_NOBODY = DIRECTORY | DEFINITIONS | {"Medication"}
# These are stored valid or not at all; they are definitions like any other.
JUDGED = {"CodeSystem", "ConceptMap", "SearchParameter", "StructureDefinition", "ValueSet"}
BESIDE = NEVER_STORED | JUDGED | {"AuditEvent", "Patient"}


def of(type_name: str, patient: str, **more: Any) -> Json:
    """A resource that says in every way of its type that it is of a patient."""
    literal = ref(f"Patient/{patient}")
    ended = ENDED.get(type_name, "active") if patient == "out" else "active"
    made: Json = {"resourceType": type_name}
    elements = KNOWN.elements[type_name]
    if "status" in elements and elements["status"].type == "code":
        made["status"] = FINAL.get(type_name, ended)
    for name in ("subject", "patient", "beneficiary", "individual", "candidate", "deliverTo"):
        if name in elements and "Reference" in elements[name].type:
            made[name] = [literal] if elements[name].max != 1 else literal
    if type_name in {"Appointment", "AppointmentResponse"}:
        made |= {"participant": [{"actor": literal}]} if type_name == "Appointment" else {}
        made |= {"actor": literal} if type_name == "AppointmentResponse" else {}
    if type_name == "Binary":
        made["securityContext"] = literal
    if type_name == "Task":
        made["for"] = literal
    if type_name == "Person":
        made["link"] = [{"target": literal}]
    if type_name == "Provenance":
        made["target"] = [literal]
    return made | more


def everything() -> Iterator[Json]:
    for patient in ("in", "out"):
        yield {"resourceType": "Patient", "id": patient}
        for type_name in sorted(set(KNOWN.resource_types) - BESIDE):
            yield of(type_name, patient, id=patient)
        for type_name, (system, codes) in KINDS.items():
            for code in codes.split():
                category = [{"coding": [{"system": system, "code": code}]}]
                yield of(type_name, patient, id=f"{code}-{patient}", category=category)
        for type_name, state in DRAFTS.items():
            yield of(type_name, patient, id=f"{state}-{patient}", status=state)
    relation = [{"individual": ref(ACTORS[0])}]
    yield of("Encounter", "in", id="visit-in", status="planned", participant=relation)


def expected(role: str, letter: str) -> set[str]:
    """The resources that the rows of the table let through, of those that there are."""
    found = set()
    rows = TABLE[role] if role == "ADMIN" else (*TABLE[role], STAFF)
    for letters, types, *ids in rows:
        if letter in letters:
            for type_name in types.split():
                found |= {
                    f"{type_name}/{one}" for one in _ids(role, type_name, (ids or [""])[0].split())
                }
    return found


def _ids(role: str, type_name: str, kinds: Iterable[str]) -> Iterator[str]:
    if type_name in OF_NOBODY | {"Subscription"}:
        yield from ("in", "out")
        return
    chosen = [one for one in kinds if one not in {"in", "out", "of-in", "of-out"}]
    patients = ("in", "out") if "out" in kinds else ("in",)
    if role == "PATIENT" and type_name in NOT_OWN:
        return
    for patient in patients:
        if chosen:
            yield from (f"{one}-{patient}" for one in chosen)
        else:
            yield patient
            yield from (f"{one}-{patient}" for one in KINDS.get(type_name, ("", ""))[1].split())
            yield from (f"{one}-{patient}" for one in filter(None, [DRAFTS.get(type_name)]))
            if type_name == "Encounter" and patient == "in":
                yield "visit-in"


async def stored(server: Server) -> dict[int, str]:
    """Store it all, and return the literals by key."""
    validation = server.settings.validation.model_copy(update={"mode": "off"})
    write = server.settings.write.model_copy(update={"referential_integrity": False})
    lax = server.settings.model_copy(update={"validation": validation, "write": write})
    entries = [Entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in everything()]
    async with server.database.transaction() as connection:
        given = replace(server, settings=lax)
        await transaction(given, connection, trusted("tests", "rest"), entries, linked=False)
        cursor = await connection.execute("SELECT key, type_id, id FROM resource WHERE key > 0")
        names = server.definitions.type_names
        return {key: f"{names[type_id]}/{id_}" for key, type_id, id_ in await cursor.fetchall()}


async def seen(
    server: Server, connection: Connection, rights: Rights, keys: Mapping[int, str]
) -> Mapping[str, set[str]]:
    """What the rights let through by each letter; the same condition is asked once."""
    types = sorted({one.partition("/")[0] for one in keys.values()})
    asked: dict[Condition, set[str]] = {NEVER: set()}
    found = {}
    for letter in LETTERS:
        # What an update may begin with; most may leave it as well.
        wall = Walls(server, rights, types, BEFORE if letter == "u" else letter).any
        assert wall is not None
        if wall not in asked:
            asked[wall] = {keys[one] for one in await meeting(connection, keys, wall)}
        found[letter] = asked[wall]
    return found


def waiting_for_nothing(server: Server) -> Server:
    security = server.settings.security
    release = security.release.model_copy(update={"hold_hours": {}})
    security = security.model_copy(update={"release": release})
    return replace(server, settings=server.settings.model_copy(update={"security": security}))


async def test_each_role_may_do_what_its_rows_say_and_nothing_else(server: Server) -> None:
    keys = await stored(server)
    wrong = {}
    async with server.database.connection() as connection:
        for role in TABLE:
            own = Person("Patient/in", patients=("in",))
            actors = ACTORS if role in {"DOCTOR", "NURSE"} else ("Practitioner/other",)
            person = own if role == "PATIENT" else Person(actors[0], actors)
            wall = roles.wall(shipped(), [role], person, {"admin_clinical": True})
            found = await seen(waiting_for_nothing(server), connection, Rights((wall,)), keys)
            for letter in LETTERS:
                if differing := found[letter] ^ (expected(role, letter) & {*keys.values()}):
                    wrong[role, letter] = sorted(differing)
    assert wrong == {}
