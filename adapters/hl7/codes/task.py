"""The Task that asks what a local code means, and its answer.

https://hl7.org/fhir/R4/task.html
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from adapters.hl7.mapping.context import UNIT_SEPARATOR, Json
from adapters.hl7.mapping.sender_rules import Translation
from adapters.hl7.mapping.units import UCUM, is_ucum
from adapters.hl7.profiles.compose import UNIT_FIELD

_REFUSED: Final = frozenset(("rejected", "cancelled", "failed", "entered-in-error"))
_MOST: Final = 2**31 - 1

Answered = Literal["open", "mapped", "dismissed", "unclear"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A local code: whose, where it stood, how often it came."""

    sender: str
    system: str
    code: str
    fields: tuple[str, ...]
    display: str = ""
    unit: str = ""
    count: int = 0

    @property
    def is_unit(self) -> bool:
        """Whether a UCUM code is asked for, and no coding."""
        return self.fields == (UNIT_FIELD,)


def identifier(base: str, asked: Asked) -> Json:
    """Return the identifier under which there is one Task for a code."""
    text = UNIT_SEPARATOR.join((asked.sender, asked.system, asked.code))
    value = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return {"system": f"{base}/hl7/unmapped-code", "value": value}


def task(base: str, asked: Asked, now: datetime) -> Json:
    """Return the open Task for a code."""
    at = now.astimezone(UTC).isoformat(timespec="milliseconds")
    named = f"{asked.display} " if asked.display else ""
    unit = f", {asked.unit}" if asked.unit else ""
    wanted = "UCUM code" if asked.is_unit else "code"
    return {
        "resourceType": "Task",
        "identifier": [identifier(base, asked)],
        "status": "requested",
        "intent": "order",
        "code": _concept(base, "translate-code", "Translate a local code"),
        "description": f"Which {wanted} does {named}({asked.code}{unit}) of {asked.sender} mean?",
        "authoredOn": at,
        "lastModified": at,
        "input": inputs(base, asked),
    }


def inputs(base: str, asked: Asked) -> list[Json]:
    """Return what the Task tells of the code: itself, its fields, unit and count."""
    coding = {"system": asked.system, "code": asked.code}
    if asked.display:
        coding["display"] = asked.display
    found: list[Json] = [{"type": _concept(base, "local-code"), "valueCoding": coding}]
    found += [{"type": _concept(base, "field"), "valueString": one} for one in asked.fields]
    if asked.unit:
        found.append({"type": _concept(base, "unit"), "valueString": asked.unit})
    count = min(max(asked.count, 1), _MOST)
    return [*found, {"type": _concept(base, "count"), "valuePositiveInt": count}]


def answer(resource: Json, *, is_unit: bool) -> tuple[Answered, tuple[Translation, ...]]:
    """Return what came of a Task, and the codings that its output gives.

    `unclear` is one that was completed without a coding that can be used.
    """
    status = resource.get("status")
    if status in _REFUSED:
        return "dismissed", ()
    if status != "completed":
        return "open", ()
    found = [one for output in resource.get("output", ()) for one in _codings(output, is_unit)]
    meant = tuple(dict.fromkeys(found))
    usable = all(is_ucum(one.code) for one in meant) if is_unit else True
    return ("mapped", meant) if meant and usable else ("unclear", ())


def _codings(output: Json, is_unit: bool) -> Sequence[Translation]:  # noqa: FBT001
    if is_unit and (text := output.get("valueString") or output.get("valueCode")):
        return [Translation(UCUM, text.strip())]
    codings = output.get("valueCodeableConcept", {}).get("coding", [])
    if coding := output.get("valueCoding"):
        codings = [coding, *codings]
    return [
        Translation(one["system"], one["code"], one.get("display", ""))
        for one in codings
        if one.get("system") and one.get("code")
    ]


def _concept(base: str, code: str, text: str = "") -> Json:
    concept: Json = {"coding": [{"system": f"{base}/hl7/task", "code": code}]}
    return {**concept, "text": text} if text else concept
