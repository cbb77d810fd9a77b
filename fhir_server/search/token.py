"""Token parameters.

https://hl7.org/fhir/R4/search.html#token

A code of a system that is known to be case-sensitive is indexed as it is, in
forms marked `!`; any other is folded. A searched code without a system is looked
for in both, so that `FINAL` does not find a case-sensitive `final`.
"""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from fhir_server.search.clause import Clause, split
from fhir_server.search.condition import Condition, Ids, Terms
from fhir_server.search.context import Context
from fhir_server.search.parameter import Parameter, parameter_id
from fhir_server.search.rows import Rows, Writer
from fhir_server.search.terms import term

MODIFIERS: frozenset[str] = frozenset({"of-type"})
"""And `not`, which `parse.py` reads."""

_WITHOUT_SYSTEM = frozenset(
    {"ContactPoint", "boolean", "uri", "url", "canonical", "oid", "uuid", "string", "markdown"}
)
_FOLDED = _WITHOUT_SYSTEM | {"id"}

_SEPARATORS = re.compile(r"[\s().\-/]")
_PHONE = re.compile(r"\+?[\d\s().\-/]{3,}")


def write_token(rows: Rows, parameter: Parameter, system: str | None, code: str | None) -> None:
    """Index the forms `code`, `system|code`, `|code` and `system|`."""
    if system:
        rows.add(parameter, "system", system)
    if code is None:
        return
    exact = system in rows.context.case_sensitive
    form, compared = ("code!", code) if exact else ("code", code.casefold())
    rows.add(parameter, form, compared)
    if system:
        rows.add(parameter, "token", system, compared)
    else:
        rows.add(parameter, "plain", compared)
    rows.sort_by(parameter, code)


def _write_concept(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    for coding in value.get("coding", ()):
        _write_coding(rows, parameter, coding)
    if value.get("text") is not None:
        rows.add(parameter, "present")


def _write_coding(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    rows.add(parameter, "present")
    write_token(rows, parameter, value.get("system"), value.get("code"))


def _write_identifier(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    rows.add(parameter, "present")
    system, number = value.get("system"), value.get("value")
    write_token(rows, parameter, system, number)
    if number is None:
        return
    for coding in (value.get("type") or {}).get("coding", ()):
        if coding.get("system") and coding.get("code"):
            rows.add(
                parameter,
                "of-type",
                coding["system"],
                _compared(rows.context, coding["system"], coding["code"]),
                number.casefold(),
            )


def _write_code(rows: Rows, parameter: Parameter, value: str) -> None:
    """Index a code of a required binding; its system is implied by the element.

    So `|code` finds it too, and `system|code` is resolved when it is searched.
    """
    rows.add(parameter, "present")
    rows.add(parameter, "code!", value)
    rows.add(parameter, "plain!", value)
    rows.sort_by(parameter, value)


def _write_string(rows: Rows, parameter: Parameter, value: str) -> None:
    rows.add(parameter, "present")
    write_token(rows, parameter, None, value)


def _write_contact(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    text = value.get("value")
    if text is not None:
        rows.add(parameter, "present")
        write_token(rows, parameter, None, contact(text))


def contact(text: str) -> str:
    """Return a telecom value as it is compared: a telephone number without separators."""
    return _SEPARATORS.sub("", text) if _PHONE.fullmatch(text) else text


def _write_boolean(rows: Rows, parameter: Parameter, value: bool) -> None:  # noqa: FBT001  (JSON)
    rows.add(parameter, "present")
    rows.add(parameter, "code", "true" if value else "false")
    rows.sort_by(parameter, "true" if value else "false")


class Known(Protocol):
    """What has a context: the registry."""

    @property
    def context(self) -> Context:
        """Return the context of its terms."""


def identifier_term(registry: Known, type_name: str, system: str, value: str) -> int:
    """Return the term under which a resource with `identifier=system|value` is indexed."""
    context = registry.context
    scope = parameter_id(type_name, "identifier")
    return term(context.secret, scope, "token", system, _compared(context, system, value))


WRITERS: Mapping[str, Writer] = {
    "CodeableConcept": _write_concept,
    "Coding": _write_coding,
    "Identifier": _write_identifier,
    "code": _write_code,
    "ContactPoint": _write_contact,
    "boolean": _write_boolean,
    "string": _write_string,
    "id": _write_string,
    "uri": _write_string,
    "url": _write_string,
    "canonical": _write_string,
    "oid": _write_string,
    "uuid": _write_string,
    "markdown": _write_string,
}


def present(context: Context, parameter: Parameter) -> Condition:
    """Return the condition that the parameter has a value."""
    return Terms((term(context.secret, parameter.id, "present"),))


def condition(context: Context, clause: Clause) -> Condition:
    """Return the condition of the clause's alternatives."""
    if clause.parameter.code == "_id":
        ids = tuple(clause.unescape(value) for value in clause.values)
        return Ids(ids, (context.type_ids[clause.parameter.base],))
    read = _of_type if clause.modifier == "of-type" else searched
    found = tuple(t for value in clause.values for t in read(context, clause, value))
    whole = not any(value.endswith("|") for value in clause.values)
    return Terms(found, few=whole and clause.types == {"Identifier"})


def searched(context: Context, clause: Clause, value: str) -> list[int]:
    """Return the terms of one searched value; a resource with any of them matches."""
    parts = [clause.unescape(part) for part in split(value, "|")]
    if len(parts) == 1:
        return _code(context, clause, "code", parts[0])
    if len(parts) > 2 or not any(parts):  # noqa: PLR2004  (system and code)
        raise clause.refuse("A token is written code, system|code, |code or system|.")
    if not clause.types - _WITHOUT_SYSTEM:
        raise clause.refuse("The values of this parameter have no system.")
    system, code = parts
    if not system:
        return _code(context, clause, "plain", code)
    if clause.types == {"code"}:
        return _implied(context, clause, system, code)
    secret, scope = context.secret, clause.parameter.id
    if not code:
        return [term(secret, scope, "system", system)]
    return [term(secret, scope, "token", system, _compared(context, system, code))]


def _code(context: Context, clause: Clause, form: str, code: str) -> list[int]:
    """Return the terms of a code whose system was not said."""
    if "ContactPoint" in clause.types:
        code = contact(code)
    forms = []
    if clause.types != {"code"}:
        forms.append((form, code.casefold()))
    if not clause.types <= _FOLDED:
        forms.append((f"{form}!", code))
    return [term(context.secret, clause.parameter.id, f, value) for f, value in forms]


def _compared(context: Context, system: str, code: str) -> str:
    return code if system in context.case_sensitive else code.casefold()


def _implied(context: Context, clause: Clause, system: str, code: str) -> list[int]:
    """Return the terms of the codes of `system` in the required binding of a code element."""
    known = clause.systems.get(system, frozenset())
    codes = known & {code} if code else known
    return [term(context.secret, clause.parameter.id, "code!", c) for c in sorted(codes)]


def _of_type(context: Context, clause: Clause, value: str) -> list[int]:
    parts = [clause.unescape(part) for part in split(value, "|")]
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004  (system, code and value)
        raise clause.refuse("An identifier by type is written system|code|value.")
    system, code, number = parts
    return [
        term(
            context.secret,
            clause.parameter.id,
            "of-type",
            system,
            _compared(context, system, code),
            number.casefold(),
        )
    ]
