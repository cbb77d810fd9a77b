"""What a worklist entry says of the patient and the visit.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#table_K.6-1
https://hl7.org/fhir/R4/patient.html
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from adapters.dicom.dataset.codes import SCT
from adapters.dicom.worklist import values
from adapters.dicom.worklist.coded import issuer
from adapters.dicom.worklist.order import Json, Order, is_typed, typed, words
from adapters.dicom.worklist.person_names import person_name

LOINC: Final = "http://loinc.org"
HEIGHT: Final = "8302-2"
WEIGHT: Final = "29463-7"
PREGNANCY: Final = "82810-3"
OBSERVED: Final = (HEIGHT, WEIGHT, PREGNANCY)
"""LOINC codes of the Observations that a modality is told of."""

_YEAR_DAYS = 366
_PREGNANCY_DAYS = 280
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SEXES = {"male": "M", "female": "F", "other": "O"}
_METRES = {"m": Decimal(1), "cm": Decimal("0.01"), "mm": Decimal("0.001")} | {
    "[in_i]": Decimal("0.0254"),
    "[ft_i]": Decimal("0.3048"),
}
_KILOGRAMS = {"kg": Decimal(1), "g": Decimal("0.001"), "[lb_av]": Decimal("0.45359237")}
# (0010,21C0): 1 not pregnant, 2 possibly, 3 definitely, 4 unknown.
_PREGNANT = {
    (SCT, "60001007"): 1,
    (LOINC, "LA26683-5"): 1,
    (SCT, "102874004"): 2,
    (SCT, "152231000119106"): 2,
    (SCT, "77386006"): 3,
    (LOINC, "LA15173-0"): 3,
    (SCT, "261665006"): 4,
    (LOINC, "LA4489-6"): 4,
}
_VISITS = {
    "planned": "SCHEDULED",
    **dict.fromkeys(("arrived", "triaged", "in-progress", "onleave"), "ADMITTED"),
    "finished": "DISCHARGED",
}
_BEHAVIOUR = frozenset(("behavioral",))


@dataclass(frozen=True, slots=True)
class Authorities:
    """Who assigns identifiers.

    `preferred` are the systems whose Patient IDs a station knows, best first; `names` are
    local names of systems; an id of the system `unnamed` is sent without an issuer.
    """

    preferred: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    unnamed: str = ""


def patient(order: Order, authorities: Authorities, now: datetime) -> dict[str, list[Any]]:
    """Return the attributes of the patient and the visit by keyword."""
    found = order.patient
    name, others = person_name(found.get("name"))
    made: dict[str, list[Any]] = {
        "PatientName": [name] if name else [],
        "OtherPatientNames": others,
        **_identification(found, authorities),
        "PatientBirthDate": _full_date(found.get("birthDate")),
        "PatientSex": [_SEXES[sex]] if (sex := found.get("gender")) in _SEXES else [],
        "PatientSize": _measured(order, HEIGHT, _METRES, now),
        "PatientWeight": _measured(order, WEIGHT, _KILOGRAMS, now),
        "PregnancyStatus": _pregnancy(order, now),
        **_alerts(order),
        "ConfidentialityConstraintOnPatientDataDescription": _confidentiality(order),
        **_visit(order, authorities),
    }
    return {keyword: found for keyword, found in made.items() if found}


def _identification(found: Json, authorities: Authorities) -> dict[str, list[Any]]:
    """Return Patient ID, its issuer, and the other ids with theirs."""
    usable = [one for one in found.get("identifier", ()) if values.number("LO", one.get("value"))]
    usable = [one for one in usable if one.get("use") != "old" and one.get("system")]
    if not usable:
        return {}
    first = min(usable, key=lambda one: _rank(one, authorities.preferred))
    others = [_identified(one, authorities) for one in usable if one is not first]
    return {**_identified(first, authorities), "OtherPatientIDsSequence": others}


def _rank(identifier: Json, preferred: Sequence[str]) -> tuple[int, bool, bool]:
    """Order identifiers: the station's authority, record numbers, what is official."""
    system = identifier["system"]
    known = preferred.index(system) if system in preferred else len(preferred)
    return known, not is_typed(identifier, "MR"), identifier.get("use") not in {"usual", "official"}


def _identified(identifier: Json, authorities: Authorities) -> dict[str, list[Any]]:
    system = identifier["system"]
    made: dict[str, list[Any]] = {"PatientID": values.number("LO", identifier["value"])}
    if system != authorities.unnamed:
        made["IssuerOfPatientIDQualifiersSequence"] = issuer(system, authorities.names)
    if system in authorities.names:
        made["IssuerOfPatientID"] = values.number("LO", authorities.names[system])
    return made


def _full_date(value: object) -> list[str]:
    """Return a date as DA; of a year or month alone there is no DA."""
    found = str(value or "")
    return [found.replace("-", "")] if _DATE.fullmatch(found) else []


def _observed(order: Order, code: str, now: datetime, days: int) -> Json | None:
    """Return the Observation of a code if it is not older than so many days."""
    for one in order.observations:
        codings = one.get("code", {}).get("coding", ())
        if any((each.get("system"), each.get("code")) == (LOINC, code) for each in codings):
            on = _day(one)
            return one if on and (now.date() - on).days <= days else None
    return None


def _day(observation: Json) -> date | None:
    period = observation.get("effectivePeriod", {})
    told = str(observation.get("effectiveDateTime") or period.get("start") or "")[:10]
    return date.fromisoformat(told) if _DATE.fullmatch(told) else None


def _measured(order: Order, code: str, factors: Mapping[str, Decimal], now: datetime) -> list[str]:
    """Return a measure in the unit of the element, none where its unit is not known."""
    quantity = (_observed(order, code, now, _YEAR_DAYS) or {}).get("valueQuantity", {})
    factor = factors.get(str(quantity.get("code") or quantity.get("unit")))
    if factor is None or quantity.get("comparator") or "value" not in quantity:
        return []
    return [
        f"{(Decimal(str(quantity['value'])) * factor).quantize(Decimal('0.001')).normalize():f}"
    ]


def _pregnancy(order: Order, now: datetime) -> list[int]:
    observed = _observed(order, PREGNANCY, now, _PREGNANCY_DAYS) or {}
    codings = observed.get("valueCodeableConcept", {}).get("coding", ())
    found = (_PREGNANT.get((one.get("system"), one.get("code"))) for one in codings)
    return [one for one in found if one][:1]


def _alerts(order: Order) -> dict[str, list[Any]]:
    """Return what to beware of; flags of behaviour tell the patient's state too."""
    flags = [one for one in order.flags if one.get("status") == "active"]
    states = [one for one in flags if _categories(one) & _BEHAVIOUR]
    stay = order.encounter.get("hospitalization", {})
    needs = [words(one) for one in stay.get("specialArrangement", ())]
    return {
        "MedicalAlerts": values.texts("LO", sorted(words(one.get("code")) for one in flags)),
        "Allergies": values.texts("LO", sorted(_allergies(order))),
        "SpecialNeeds": values.text("LO", ", ".join(needs)),
        "PatientState": values.text("LO", ", ".join(words(one.get("code")) for one in states)),
    }


def _categories(flag: Json) -> set[str]:
    concepts = flag.get("category", ())
    return {str(one.get("code")) for concept in concepts for one in concept.get("coding", ())}


def _allergies(order: Order) -> Iterator[str]:
    for one in order.allergies:
        clinical = _codes(one.get("clinicalStatus"))
        verified = _codes(one.get("verificationStatus"))
        if not clinical & {"inactive", "resolved"} and not verified & {"refuted", _IN_ERROR}:
            yield words(one.get("code"))


_IN_ERROR = "entered-in-error"


def _codes(concept: Json | None) -> set[str]:
    return {str(one.get("code")) for one in (concept or {}).get("coding", ())}


def _confidentiality(order: Order) -> list[str]:
    labels = [
        str(one.get("display") or one.get("code") or "")
        for resource in (order.patient, order.request)
        for one in resource.get("meta", {}).get("security", ())
    ]
    return values.text("LO", ", ".join(dict.fromkeys(one for one in labels if one)))


def _visit(order: Order, authorities: Authorities) -> dict[str, list[Any]]:
    encounter = order.encounter
    identifiers = encounter.get("identifier", ())
    number = typed(identifiers, "VN") or next(iter(identifiers), None) or {}
    admission = values.number("LO", number.get("value"))
    status = _VISITS.get(str(encounter.get("status")))
    return {
        "AdmissionID": admission,
        "IssuerOfAdmissionIDSequence": (
            issuer(str(number.get("system") or ""), authorities.names) if admission else []
        ),
        "CurrentPatientLocation": values.text("LO", _location(order, encounter)),
        "VisitStatusID": [status] if status else [],
    }


def _location(order: Order, encounter: Json) -> str:
    """Return the name of where the patient is: the active location, else the last one."""
    told = encounter.get("location", ())
    active = [one for one in told if one.get("status", "active") == "active"]
    for one in [*active, *reversed(told)]:
        reference = one.get("location") or {}
        if name := (order.get(reference) or {}).get("name") or reference.get("display"):
            return str(name)
    return ""
