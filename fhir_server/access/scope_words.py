"""Scopes in words, for the person who is asked to grant them.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

import re
from collections.abc import Mapping

from fhir_server.access.scopes import OPERATOR, OPERATORS, Scope, parse
from fhir_server.rights import ANY
from fhir_server.search.clause import split

_OTHERS: Mapping[str, str] = {
    "openid": "Know who you are",
    "fhirUser": "Know your entry in the directory or your record",
    "profile": "Know your name",
    "launch": "Know which patient and visit you have open",
    "launch/patient": "Ask you which patient it is about",
    "launch/encounter": "Ask you which visit it is about",
    "offline_access": "Keep its access when you are not there, until you revoke it",
    "online_access": "Keep its access as long as you are logged in",
}

_LETTERS: Mapping[str, str] = {
    "r": "read",
    "s": "search",
    "c": "add",
    "u": "change",
    "d": "delete",
}

_NAMES: Mapping[str, str] = {
    "AllergyIntolerance": "allergies",
    "CarePlan": "care plans",
    "CareTeam": "care teams",
    "Condition": "diagnoses and problems",
    "Coverage": "insurance",
    "DiagnosticReport": "reports of examinations",
    "DocumentReference": "documents",
    "Encounter": "visits and stays",
    "ExplanationOfBenefit": "what insurances have paid",
    "ImagingStudy": "pictures of examinations",
    "Immunization": "vaccinations",
    "Observation": "measurements and laboratory results",
    "Patient": "name, address and other details of the person",
    "QuestionnaireResponse": "answers to questionnaires",
    "ServiceRequest": "orders of examinations and treatments",
}

_WHOSE: Mapping[str, str] = {
    "patient": "of this patient",
    "user": "that you have access to",
    "system": "of all patients",
}

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def in_words(text: str) -> str:
    """Return a line that says what a scope allows; one that allows nothing says so."""
    if known := _OTHERS.get(text):
        return known
    start, _, name = text.partition("/")
    if start == OPERATOR and name in OPERATORS:
        return f"Operate the server: {OPERATORS[name]}"
    scope = parse(text)
    return f"Nothing: {text} is not known here" if scope is None else _of_resources(scope)


def _of_resources(scope: Scope) -> str:
    found = f"{_verbs(scope.letters)} {_things(scope.type)} {_WHOSE[scope.context]}"
    limits = [_limit(name, value) for name, value in scope.pairs]
    return f"{found}, only where {' and '.join(limits)}" if limits else found


def _verbs(letters: str) -> str:
    """Return the verbs in the order of reading, searching, adding, changing, deleting."""
    *first, last = [word for letter, word in _LETTERS.items() if letter in letters]
    return (f"{', '.join(first)} and {last}" if first else last).capitalize()


def _things(type_name: str) -> str:
    if type_name == ANY:
        return "all records"
    return _NAMES.get(type_name) or f"{_HUMP.sub(' ', type_name).lower()} records"


def _limit(name: str, value: str) -> str:
    """Return a parameter and its codes, without their systems."""
    codes = [one.rpartition("|")[2] or one for one in split(value, ",")]
    return f"{name.removesuffix(':in')} is {' or '.join(codes)}"
