"""Local codes translated to LOINC, SNOMED CT and their like.

The translated coding comes first, the original stays; what has no translation is told to
the operators (docs/hl7-profiles.md).

https://hl7.org/fhir/R4/datatypes.html#CodeableConcept
"""

from typing import Final

from adapters.hl7.mapping import units
from adapters.hl7.mapping.context import Context, Json, Untranslated
from adapters.hl7.mapping.sender_rules import Dictionary, Translation
from adapters.hl7.message.tokenizer import Segment

_LONGEST: Final = 200
_UNIT_FIELD: Final = "OBX-6"


def translated(ctx: Context, segment: Segment, number: int, concept: Json | None) -> Json | None:
    """Return the concept of a field with the codings that its local codes mean.

    A concept that has a coding which others understand is left as it is.
    """
    codings = concept.get("coding") if concept else None
    if not codings:
        return concept
    assert concept is not None  # it has codings
    local = f"{ctx.profile.base}/hl7/"
    if not all(one["system"].startswith(local) for one in codings):
        return concept
    dictionary = ctx.profile.dictionary
    place = f"{segment.name}-{number}"
    if place not in dictionary.asked and place not in dictionary.fields:
        return concept
    found = _found(dictionary, place, codings)
    if found is None:
        if place in dictionary.asked:
            _ask(ctx, segment, place, codings[0])
        return concept
    return {**concept, "coding": [*map(_coding, found), *codings]} if found else concept


def _found(
    dictionary: Dictionary, place: str, codings: list[Json]
) -> tuple[Translation, ...] | None:
    """Return what the codings mean: () where it is settled that they mean nothing more."""
    codes = dictionary.fields.get(place)
    if codes:
        for one in codings:
            system, code = one["system"], one["code"]
            found = codes.get((system, code))
            if found is None:
                found = codes.get(("", code))
            if found is not None:
                return found
    return None


def _coding(meant: Translation) -> Json:
    coding = {"system": meant.system, "code": meant.code}
    return {**coding, "display": meant.display} if meant.display else coding


def _ask(ctx: Context, segment: Segment, place: str, coding: Json) -> None:
    """Note a code, once for each field that has it."""
    system, code = coding["system"], coding["code"]
    noted = ("untranslated", f"{segment.index} {place} {system} {code}")
    if noted in ctx.once or len(code) > _LONGEST:
        return
    ctx.once[noted] = True
    measured = segment.first(6) if place == "OBX-3" else None
    display, unit = coding.get("display", ""), units.parts(measured)[0] if measured else ""
    ctx.untranslated.append(Untranslated(place, system, code, display[:_LONGEST], unit[:_LONGEST]))


def unknown_unit(ctx: Context, unit: str) -> None:
    """Note a unit that has no UCUM code, unless it is settled that there is none."""
    dictionary = ctx.profile.dictionary
    if _UNIT_FIELD not in dictionary.asked or unit in dictionary.unit_codes:
        return
    if len(unit) <= _LONGEST:
        ctx.untranslated.append(Untranslated(_UNIT_FIELD, ctx.profile.codes(_UNIT_FIELD), unit))


def usual_unit(ctx: Context, obx: Segment) -> str:
    """Return the unit of a test that is sent without one, "" where none is agreed."""
    defaults = ctx.profile.dictionary.unit_defaults
    rep = obx.first(3) if defaults else None
    if rep is None:
        return ""
    return next((defaults[c] for n in (1, 4) if (c := rep.peek(n)) in defaults), "")
