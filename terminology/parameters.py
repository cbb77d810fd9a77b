"""Parameters resources read, and answers written as Parameters and OperationOutcome.

https://hl7.org/fhir/R4/parameters.html
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from terminology.code_system import Head
from terminology.coding import Coding, read_coding
from terminology.concepts import Json
from terminology.implicit import SNOMED
from terminology.issues import Issue, bad_request
from terminology.lookup import Found
from terminology.shapes import require
from terminology.translate import RELATIONSHIPS, Match, is_match
from terminology.validate import Validated

ISSUE_TYPE = "http://hl7.org/fhir/tools/CodeSystem/tx-issue-type"
LARGEST = 2**31 - 1
_NUMBER = re.compile(r"[0-9]{1,10}")
MESSAGE_ID = "http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id"


@dataclass(frozen=True, slots=True)
class Given:
    """The parameters of a request; any primitive type is taken for a value."""

    parameters: tuple[Json, ...]

    def each(self, name: str) -> list[Any]:
        """All values of a name."""
        found = (_value(one) for one in self.parameters if one.get("name") == name)
        return [value for value in found if value is not None]

    def one(self, *names: str) -> Any | None:  # noqa: ANN401 - any FHIR value
        """The first value of the first name that has one."""
        return next((value for name in names for value in self.each(name)), None)

    def text(self, *names: str) -> str | None:
        """The first value of the names as text; 400 where it is none."""
        value = self.one(*names)
        if value is None or isinstance(value, str):
            return value
        raise bad_request(f"the parameter {names[0]} is not a text")

    def texts(self, name: str) -> tuple[str, ...]:
        """All values of a name as texts."""
        return tuple(value for value in self.each(name) if isinstance(value, str))

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A truth value, also as text; 400 where it is none."""
        value = self.one(name)
        known = {True: True, False: False, "true": True, "false": False, None: default}
        if isinstance(value, dict | list) or value not in known:
            raise bad_request(f"the parameter {name} is neither true nor false")
        return known[value]

    def number(self, name: str) -> int | None:
        """A whole number from 0 on; 400 where it is none, or more than FHIR's integer holds."""
        value = self.one(name)
        if value is None:
            return None
        if isinstance(value, bool) or not _NUMBER.fullmatch(str(value)):
            raise bad_request(f"the parameter {name} is not a whole number from 0 on")
        if int(str(value)) > LARGEST:
            raise bad_request(f"the parameter {name} is more than {LARGEST}")
        return int(str(value))

    def resources(self, name: str) -> list[Json]:
        """All resources of a name."""
        named = (one for one in self.parameters if one.get("name") == name)
        return [one["resource"] for one in named if isinstance(one.get("resource"), dict)]

    def named(self, name: str) -> list[Json]:
        """All parameters of a name, for those that have parts."""
        return [one for one in self.parameters if one.get("name") == name]

    def complex(self, name: str) -> Json | None:
        """A value with members; 400 where it has none."""
        value = self.one(name)
        if value is None or isinstance(value, dict):
            return value
        raise bad_request(f"the parameter {name} is of another type")

    def over(self, others: "Given") -> "Given":
        """These parameters, and of the others those whose names are not among these."""
        names = {one.get("name") for one in self.parameters}
        extra = tuple(one for one in others.parameters if one.get("name") not in names)
        return Given(self.parameters + extra)


def read_parameters(resource: Json) -> Given:
    """The parameters of a Parameters resource; 400 for anything else."""
    require("Parameters", resource)
    if resource.get("resourceType") != "Parameters":
        raise bad_request("the operation takes Parameters", "structure")
    return Given(tuple(resource.get("parameter", ())))


def _value(parameter: Json) -> Any | None:  # noqa: ANN401 - any FHIR value
    return next((value for key, value in parameter.items() if key.startswith("value")), None)


def read_codings(given: Given, *, needs_system: bool) -> tuple[list[Coding], Json | None]:
    """The codings to validate, with the codeable concept that they came in."""
    concept = given.complex("codeableConcept")
    if concept is not None:
        require("CodeableConcept", concept)
        path = "CodeableConcept.coding"
        listed = enumerate(concept.get("coding", []))
        return [read_coding(one, f"{path}[{index}]") for index, one in listed], concept
    coding = given.complex("coding")
    if coding is not None:
        return [read_coding(coding, "Coding")], None
    code, system = given.text("code"), given.text("system")
    if code is None or (needs_system and system is None and not given.flag("inferSystem")):
        raise bad_request(NO_CODE)
    source = {
        "system": system,
        "version": given.text("systemVersion") if needs_system else given.text("version"),
        "code": code,
        "display": given.text("display"),
    }
    return [read_coding({k: v for k, v in source.items() if v is not None}, "")], None


NO_CODE = (
    "Unable to find code to validate (looked for coding | codeableConcept | code+system |"
    " code+inferSystem in parameters"
)


def parameter(name: str, kind: str, value: object) -> Json:
    """One parameter with a value; `kind` is the FHIR type, such as `Uri`."""
    return {"name": name, f"value{kind}": value}


def _present(triples: Iterable[tuple[str, str, object | None]]) -> list[Json]:
    return [parameter(*one) for one in triples if one[2] is not None]


def write_parameters(parameters: Iterable[Json]) -> Json:
    """A Parameters resource."""
    return {"resourceType": "Parameters", "parameter": list(parameters)}


def write_outcome(issues: Iterable[Issue]) -> Json:
    """An OperationOutcome resource."""
    return {"resourceType": "OperationOutcome", "issue": [_issue(one) for one in issues]}


def _issue(one: Issue) -> Json:
    out: Json = {}
    if one.message_id:
        out["extension"] = [{"url": MESSAGE_ID, "valueString": one.message_id}]
    out |= {"severity": one.severity, "code": one.code}
    coding = {"coding": [{"system": ISSUE_TYPE, "code": one.type}]} if one.type else {}
    out["details"] = {**coding, "text": one.text}
    if one.expression:
        out |= {"location": [one.expression], "expression": [one.expression]}
    return out


def write_validated(validated: Validated) -> Json:
    """The answer of $validate-code."""
    coding = validated.coding
    out = _present(
        [
            ("result", "Boolean", validated.result),
            ("code", "Code", coding.code if coding else None),
            ("system", "Uri", coding.system if coding else None),
            ("version", "String", coding.version if coding else None),
            ("display", "String", coding.display if coding else None),
            ("codeableConcept", "CodeableConcept", validated.codeable_concept),
            ("inactive", "Boolean", validated.inactive or None),
            ("status", "Code", validated.status),
            ("normalized-code", "Code", validated.normalized_code),
            ("x-unknown-system", "Canonical", validated.unknown_system),
            ("message", "String", validated.message),
        ]
    )
    out += [parameter("x-caused-by-unknown-system", "Canonical", one) for one in validated.causes]
    if validated.issues:
        out.append({"name": "issues", "resource": write_outcome(validated.issues)})
    return write_parameters(out)


def write_found(found: Found) -> Json:
    """The answer of $lookup."""
    head, concept = found.head, found.concept
    out = _present(
        [
            ("name", "String", _name(head)),
            ("version", "String", head.version),
            ("display", "String", found.display),
            ("code", "Code", concept.code),
            ("system", "Uri", head.url),
            ("definition", "String", concept.definition),
            ("abstract", "Boolean", concept.abstract),
        ]
    )
    out += [parameter("used-supplement", "Canonical", one) for one in found.supplements]
    for one in found.designations:
        parts = _present(
            [
                ("language", "Code", one.language),
                ("use", "Coding", one.use),
                ("value", "String", one.value),
                ("source", "Canonical", one.source),
            ]
        )
        out.append({"name": "designation", "part": parts})
    for each in found.properties:
        parts = _present(
            [
                ("code", "Code", each.code),
                ("code-display", "String", found.names.get(each.code)),
                ("description", "String", each.description),
            ]
        )
        parts.append({"name": "value", each.kind: each.value})
        out.append({"name": "property", "part": parts})
    return write_parameters(out)


def _name(head: Head) -> str:
    """The name to show; of SNOMED CT its canonical, which tells the edition."""
    return head.canonical if head.url == SNOMED else head.name or head.title or head.url


def write_matches(matches: list[Match], *, newer: bool, reverse: bool) -> Json:
    """The answer of $translate; `newer` in the words of R5."""
    result = any(is_match(one) for one in matches)
    out = [parameter("result", "Boolean", result)]
    if not result:
        out.append(parameter("message", "String", "no mapping of the code was found"))
    out += [
        {"name": "match", "part": list(_match(one, newer=newer, reverse=reverse))}
        for one in matches
    ]
    return write_parameters(out)


def _match(one: Match, *, newer: bool, reverse: bool) -> Iterator[Json]:
    yield parameter("equivalence", "Code", one.equivalence)
    if newer and one.equivalence in RELATIONSHIPS:
        yield parameter("relationship", "Code", RELATIONSHIPS[one.equivalence])
    shown = one.target if newer or not reverse else one.source
    if shown:
        yield parameter("concept", "Coding", _coding(shown))
    for product in one.product:
        concept = {"system": product.system, "code": product.value} if product.system else None
        parts = [parameter("element", "Uri", product.property)]
        parts.append(parameter("concept", "Coding", concept or {"code": product.value}))
        yield {"name": "product", "part": parts}
    if not newer:
        yield parameter("source", "Uri", one.map)
        return
    yield parameter("originMap", "Canonical", one.map)
    if reverse:
        yield parameter("source", "Coding", _coding(one.source))


def _coding(coding: Coding) -> Json:
    parts = {
        "system": coding.system,
        "version": coding.version,
        "code": coding.code,
        "display": coding.display,
    }
    return {key: value for key, value in parts.items() if value is not None}
