"""Token parameters.

https://hl7.org/fhir/R4/search.html#token

A code of a system that is known to be case-sensitive is indexed as it is, in
forms marked `!`; any other is folded. A searched code without a system is looked
for in both, so that `FINAL` does not find a case-sensitive `final`.
"""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from fhir_server.search import terminology
from fhir_server.search.clause import Clause, split
from fhir_server.search.condition import Condition, Ids, Terms, Words
from fhir_server.search.context import Context
from fhir_server.search.parameter import Parameter, parameter_id
from fhir_server.search.rows import Rows, Writer
from fhir_server.search.terms import term
from fhir_server.search.words import beginning, under

MODIFIERS: frozenset[str] = terminology.MODIFIERS | {"of-type", "text"}
"""And `not`, which `ask.py` reads; it negates `in` for `not-in` too."""

LOOSE_CODE = "code~"
"""Element type of a code whose system is not known, so that its case does not count."""

MIME_CODE = "code~mime"
"""Element type of a code that is a media type, which may have parameters."""

_MIME = "http://hl7.org/fhir/ValueSet/mimetypes"

_WITHOUT_SYSTEM = frozenset({"ContactPoint", "boolean", "uri", "url", "canonical", "oid", "uuid"})
_FOLDED = _WITHOUT_SYSTEM | {"id", "string", "markdown", LOOSE_CODE, MIME_CODE}

_SEPARATORS = re.compile(r"[\s().\-/]")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+*-]+/[\w!#$&^.+*-]+", re.ASCII)
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
    text = value.get("text")
    if text is not None:
        rows.add(parameter, "present")
        rows.add_text(parameter, text)


def _write_coding(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    get = value.get
    rows.repeat(_write_coded, parameter, get("system"), get("code"), get("display"))


def _write_coded(
    rows: Rows, parameter: Parameter, system: str | None, code: str | None, display: str | None
) -> None:
    rows.add(parameter, "present")
    if display is not None:
        rows.add_text(parameter, display)
    write_token(rows, parameter, system, code)
    if system and code:
        rows.use(parameter, system, code, coding_term(rows.context, parameter.id, system, code))


def _write_identifier(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    rows.add(parameter, "present")
    system, number = value.get("system"), value.get("value")
    write_token(rows, parameter, system, number)
    kind = value.get("type") or {}
    if kind.get("text") is not None:
        rows.add_text(parameter, kind["text"])
    if number is None:
        return
    for coding in kind.get("coding", ()):
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
    rows.repeat(_write_bound, parameter, value)


def _write_bound(rows: Rows, parameter: Parameter, value: str) -> None:
    rows.add(parameter, "present")
    rows.add(parameter, "code!", value)
    rows.add(parameter, "plain!", value)
    rows.sort_by(parameter, value)


def _write_string(rows: Rows, parameter: Parameter, value: str) -> None:
    rows.add(parameter, "present")
    write_token(rows, parameter, None, value)


def _write_mime(rows: Rows, parameter: Parameter, value: str) -> None:
    _write_string(rows, parameter, value)
    rows.add(parameter, "below", media_type(value))


def media_type(value: str) -> str:
    """Return a media type without its parameters, as it is compared."""
    return value.partition(";")[0].strip().casefold()


def loose(value_set: str | None) -> str:
    """Return the element type of a code whose system is not known, by its binding."""
    return MIME_CODE if value_set == _MIME else LOOSE_CODE


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


def token_term(context: Context, scope: int, system: str, code: str) -> int:
    """Return the term of a coding under the parameter `scope`, as `system|code` is searched."""
    return term(context.secret, scope, "token", system, _compared(context, system, code))


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
    LOOSE_CODE: _write_string,
    MIME_CODE: _write_mime,
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
    if clause.modifier == "text":
        return _worded(clause)
    if clause.modifier == "below" and clause.types == {MIME_CODE}:
        return Terms(tuple(_media_type(context, clause, value) for value in clause.values))
    if clause.modifier in terminology.MODIFIERS:
        return terminology.condition(clause)
    read = _of_type if clause.modifier == "of-type" else searched
    found = tuple(t for value in clause.values for t in read(context, clause, value))
    whole = not any(value.endswith("|") for value in clause.values)
    return Terms(found, few=whole and clause.types == {"Identifier"})


def _worded(clause: Clause) -> Condition:
    """Return the condition of a text that starts so, or has a word from which on it does."""
    asked = [under(clause.parameter.id, clause.unescape(value)) for value in clause.values]
    if not all(asked):
        raise clause.refuse("The value has no letter or digit to search by.")
    return Words(" | ".join(f"({beginning(one)})" for one in asked), clause.parameter.id)


def _media_type(context: Context, clause: Clause, value: str) -> int:
    found = media_type(clause.unescape(value))
    if not _MEDIA_TYPE.fullmatch(found):
        raise clause.refuse("A media type is written type/subtype.")
    return term(context.secret, clause.parameter.id, "below", found)


def coding_term(context: Context, scope: int, system: str, code: str) -> int:
    """Return the term of a coding in use: no other code of the system has it.

    Most codes have no letters, or are of a system known to tell them apart by case; the
    token is enough for those.
    """
    alone = system in context.case_sensitive or code.casefold() == code.upper()
    form, compared = ("token", _compared(context, system, code)) if alone else ("coding", code)
    return term(context.secret, scope, form, system, compared)


def implied_term(context: Context, scope: int, code: str) -> int:
    """Return the term of a code whose system the element implies."""
    return term(context.secret, scope, "code!", code)


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
    return [implied_term(context, clause.parameter.id, c) for c in sorted(codes)]


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
