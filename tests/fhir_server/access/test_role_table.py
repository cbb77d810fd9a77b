import pytest

from fhir_server.access import roles
from fhir_server.access.role_table import Role, Rule, faults, read, shipped, written
from fhir_server.access.roles import Person
from fhir_server.access.scopes import OPERATORS
from fhir_server.access.type_sets import DEFINITIONS, DIRECTORY
from fhir_server.errors import BadRequest, Forbidden
from fhir_server.r4 import definitions
from fhir_server.rights import (
    Grant,
    Having,
    Inside,
    Matching,
    Opened,
    Related,
    Released,
    Reported,
)

TYPES = definitions.load().resource_types
FLAGS = {"admin_clinical": True}
STAFF = Person("Practitioner/1", ("Practitioner/1",), ("Location/ward",))
PATIENT = Person("Patient/p1", patients=("p1",))

ROLES = (
    "ADMIN",
    "DOCTOR",
    "NURSE",
    "LAB_STAFF",
    "RADIOLOGIST",
    "PHARMACY_STAFF",
    "BILLING_STAFF",
    "RECEPTIONIST",
    "PATIENT",
)
OF_NOBODY = DIRECTORY | DEFINITIONS | {"Medication"}


def wall(role: str, person: Person = STAFF, **flags: bool) -> tuple[Grant, ...]:
    return roles.wall(shipped(), [role], person, {**FLAGS, **flags})


def everyday(role: str, person: Person = STAFF) -> list[Grant]:
    """What a role grants without an open glass."""
    opened = Opened(person.user or "")
    return [one for one in wall(role, person) if opened not in one.limits]


@pytest.mark.parametrize(
    ("role", "reasons"),
    [
        ("DOCTOR", {Related(("Practitioner/1",))}),
        ("NURSE", {Related(("Practitioner/1", "Location/ward"))}),
        ("PATIENT", {Inside("Patient", "p1")}),
    ],
)
def test_all_of_a_patient_is_granted_for_a_reason(role: str, reasons: set[object]) -> None:
    person = PATIENT if role == "PATIENT" else STAFF
    unlimited = {
        one.type
        for one in everyday(role, person)
        if not reasons & set(one.limits) and not _names_the_user(one)
    }
    assert unlimited == OF_NOBODY


def _names_the_user(grant: Grant) -> bool:
    return grant.limits == (Matching((("owner", "Practitioner/1"),)),)


@pytest.mark.parametrize(
    ("role", "sources"),
    [
        ("LAB_STAFF", {"ServiceRequest"}),
        ("PHARMACY_STAFF", {"MedicationRequest"}),
        ("BILLING_STAFF", {"Account", "Claim", "Coverage"}),
    ],
)
def test_patients_are_seen_because_of_an_order_a_prescription_or_an_account(
    role: str, sources: set[str]
) -> None:
    limits = [one.limits for one in everyday(role) if one.type == "Patient"]
    assert {limit.type for (limit,) in limits if isinstance(limit, Having)} == sources
    assert len(limits) == len(sources)


def test_nobody_deletes_what_belongs_to_a_patient() -> None:
    deleted = {one.type for role in ROLES for one in wall(role) if "d" in one.letters}
    assert deleted == DIRECTORY | DEFINITIONS | {"Subscription"}


def test_observations_of_nurses_are_of_their_categories() -> None:
    (grant,) = (
        one for one in everyday("NURSE") if one.type == "Observation" and "c" in one.letters
    )
    matching, _ = grant.limits
    assert isinstance(matching, Matching)
    ((name, value),) = matching.pairs
    assert name == "category"
    assert [one.rpartition("|")[2] for one in value.split(",")] == [
        "vital-signs",
        "survey",
        "exam",
        "social-history",
    ]


def test_patients_read_only_what_is_released() -> None:
    read = [one for one in everyday("PATIENT", PATIENT) if one.type not in OF_NOBODY]
    unreleased = {one.type for one in read if "s" in one.letters and Released() not in one.limits}
    (audit,) = (one for one in read if one.type == "AuditEvent")
    assert unreleased == {"AuditEvent"}
    assert Reported() in audit.limits


def test_a_proxy_may_act_for_each_of_the_patients() -> None:
    both = Person("RelatedPerson/r1", patients=("p1", "p2"))
    limits = {
        limit
        for one in everyday("PATIENT", both)
        for limit in one.limits
        if isinstance(limit, Inside)
    }
    assert limits == {Inside("Patient", "p1"), Inside("Patient", "p2")}


def test_administrators_read_records_unless_the_setting_takes_it_away() -> None:
    taken = roles.wall(shipped(), ["ADMIN"], STAFF, {"admin_clinical": False})
    assert Grant("Observation", "rs") in wall("ADMIN")
    (grant,) = (one for one in taken if one.type == "Observation")
    assert Opened("Practitioner/1") in grant.limits


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("ADMIN", True),
        ("DOCTOR", True),
        ("NURSE", True),
        ("RADIOLOGIST", True),
        ("LAB_STAFF", False),
        ("PHARMACY_STAFF", False),
        ("BILLING_STAFF", False),
        ("RECEPTIONIST", False),
        ("PATIENT", False),
    ],
)
def test_only_clinical_roles_break_the_glass_and_then_only_read(role: str, *, may: bool) -> None:
    opened = [one for one in wall(role) if Opened("Practitioner/1") in one.limits]
    assert bool(opened) is may
    assert {one.letters for one in opened} <= {"rs"}


def test_roles_of_one_person_are_one_or_the_other() -> None:
    both = roles.wall(shipped(), ["NURSE", "RECEPTIONIST"], STAFF, FLAGS)
    assert set(both) == {*wall("NURSE"), *wall("RECEPTIONIST")}


def test_unknown_role_is_refused() -> None:
    with pytest.raises(Forbidden):
        roles.wall(shipped(), ["NURSE", "WIZARD"], STAFF, FLAGS)


def test_person_without_actors_has_no_care_relationship() -> None:
    granted = {one.type for one in wall("DOCTOR", Person())}
    assert granted == OF_NOBODY


@pytest.mark.parametrize("user", ["Practitioner/1&owner=x", "Practitioner/1,Practitioner/2", ""])
def test_reference_that_is_none_is_not_put_into_a_query(user: str) -> None:
    granted = wall("DOCTOR", Person(user, ("Practitioner/1",)))
    assert not [one for one in granted for limit in one.limits if isinstance(limit, Matching)]


def test_clearance_is_the_highest_of_the_roles() -> None:
    assert roles.clearance(shipped(), ["NURSE"]) == ("N", ())
    assert roles.clearance(shipped(), ["NURSE", "DOCTOR"]) == ("R", ())


def test_operator_scopes_of_roles_are_united() -> None:
    assert roles.operators(shipped(), ["NURSE", "DOCTOR"]) == {"release"}
    assert roles.operators(shipped(), ["ADMIN"]) == set(OPERATORS)


def test_all_but_patients_are_staff() -> None:
    staff = {name for name in shipped().roles if roles.is_staff(shipped(), [name])}
    assert staff == set(ROLES) - {"PATIENT"}
    assert roles.is_staff(shipped(), [])


@pytest.mark.parametrize("role", ROLES)
def test_shipped_role_has_no_fault_and_is_written_as_it_is_read(role: str) -> None:
    table = shipped()
    assert faults(table, table.roles[role], TYPES, FLAGS) == ""
    assert read(written(table.roles[role])) == table.roles[role]


@pytest.mark.parametrize(
    ("role", "fault"),
    [
        (Role("x", (Rule(("Patientt",), "rs"),)), "Patientt is no resource type"),
        (Role("x", (Rule(("@everything",), "rs"),)), "@everything is no set of types"),
        (Role("x", (Rule(("Patient",), "rx"),)), "letters are some of cruds"),
        (Role("x", (Rule(("Patient",), ""),)), "letters are some of cruds"),
        (
            Role("x", (Rule(("Observation",), "d"),)),
            "nobody deletes what belongs to a patient: letters without d",
        ),
        (
            Role("x", (Rule(("*",), "rsd"),)),
            "nobody deletes what belongs to a patient: letters without d",
        ),
        (
            Role("x", (Rule(("Observation",), "r", where="patient.name=a"),)),
            "where has search parameters, without chains and without modifiers but :in",
        ),
        (
            Role("x", (Rule(("Observation",), "r", because=("friend",)),)),
            (
                "friend is no reason: there are account, care, claim, coverage, imaging_order, "
                "laboratory_order, open_prescription, own, ward"
            ),
        ),
        (
            Role("x", (Rule(("Observation",), "r", unless="sunday"),)),
            "unless names one of admin_clinical",
        ),
        (
            Role("x", (Rule(("Condition",), "ru", becoming="code=a"),)),
            "becoming is of updates: letter u alone",
        ),
        (
            Role("x", (Rule(("Condition",), "rsu", without=("note",)),)),
            "what is shown in part is not written: letters r and s alone",
        ),
        (
            Role("x", (Rule(("Condition", "Binary"), "rs", without=("note",)),)),
            "a Binary is not shown in part",
        ),
        (
            Role("x", (Rule(("Condition",), "rs", without=("meta",)),)),
            (
                "always shown are contained, extension, id, implicitRules, meta, "
                "modifierExtension, resourceType"
            ),
        ),
        (Role("x", operator=("everything",)), "everything is no operator scope"),
        (Role("x", break_glass=("Foo",)), "Foo is no resource type"),
        (Role("x", break_glass=("*",)), "break_glass names the types that may be read"),
        (Role("x", clearance="X"), "clearance is one of U, L, M, N, R, V"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_fault_of_a_role_is_told(role: Role, fault: str) -> None:
    assert faults(shipped(), role, TYPES, FLAGS) == fault


@pytest.mark.parametrize("text", [b"title", b'titel = "x"', b"title = 1", b""])
def test_text_that_is_no_role_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest):
        read(text)
