"""A resource judged by profiles: those asked for, those that it claims, and its extensions.

https://hl7.org/fhir/R4/validation.html
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.errors import Issue, Unprocessable
from fhir_server.fhirpath.quantity import Units
from fhir_server.profiles.advice.whole import advise
from fhir_server.profiles.compile import Profile
from fhir_server.profiles.core import PREFIX
from fhir_server.profiles.extensions import judge_extensions
from fhir_server.profiles.place import Item
from fhir_server.profiles.profiles import Profiles
from fhir_server.profiles.response import judge_response
from fhir_server.profiles.scope import Scope, entries, inside
from fhir_server.profiles.seams import Bindings, Codes, Json, Nothing, Targets
from fhir_server.profiles.walk import MAX_ISSUES, Strictness, Walk, no_unit, whole

IMPOSED: Final = (
    "http://hl7.org/fhir/StructureDefinition/structuredefinition-imposeProfile",
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-StructureDefinition.imposeProfile",
)
_LOINC: Final = "http://loinc.org"
# "If implementations use these codes, they must conform to the profile."
# https://hl7.org/fhir/R4/observation-vitalsigns.html
VITAL_SIGNS: Final = {
    "85353-1": "vitalspanel",
    "9279-1": "resprate",
    "8867-4": "heartrate",
    "2708-6": "oxygensat",
    "8310-5": "bodytemp",
    "8302-2": "bodyheight",
    "9843-4": "headcircum",
    "29463-7": "bodyweight",
    "39156-5": "bmi",
    "85354-9": "bp",
}
_MAX_IMPOSED: Final = 50


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a resource is judged in: value sets, resources outside it, units, severities."""

    bindings: Bindings = field(default_factory=Nothing)
    targets: Targets = field(default_factory=Nothing)
    units: Units = no_unit
    codes: Codes = field(default_factory=Nothing)
    strictness: Strictness = field(default_factory=Strictness)


NOWHERE: Final = Surroundings()


def validate_profiles(
    profiles: Profiles,
    data: Mapping[str, Any],
    canonicals: Iterable[str] = (),
    surroundings: Surroundings = NOWHERE,
) -> list[Issue]:
    """Return what is wrong with a decoded resource that the base validation found sound.

    By the profiles of these canonicals (error where one is not known), by those that
    it and the resources inside it claim in `meta.profile` (warning where one is not
    known), by those that these impose, and by the definitions of its extensions.
    Texts quote no values. At most `MAX_ISSUES`, then one that says so; an error
    `too-costly` where judging takes too much.
    """
    walk = Walk(
        profiles,
        surroundings.bindings,
        _Kept(surroundings.targets),
        surroundings.codes,
        surroundings.strictness,
        surroundings.units,
    )
    top = whole(dict(data)) if type(data) is not dict else whole(data)
    try:
        _Resources(walk).judge(top, Scope(top, top), canonicals)
    except Unprocessable as refused:
        walk.note("error", "too-costly", refused.text, top.place)
    found = list(walk.issues.values())
    if len(found) > MAX_ISSUES:
        found.sort(key=lambda issue: issue.severity != "error")
        text = f"Only the first {MAX_ISSUES} issues are listed"
        return [*found[:MAX_ISSUES], Issue("information", "processing", text, top.place)]
    return found


class _Kept:
    """Targets that stay alive while a resource is judged, as the walk knows them by identity."""

    __slots__ = ("known", "targets")

    def __init__(self, targets: Targets) -> None:
        self.targets = targets
        self.known: dict[str, Json | None] = {}

    def resource(self, reference: str) -> Json | None:
        """Return what a reference leads to, the same object each time."""
        if reference not in self.known:
            self.known[reference] = self.targets.resource(reference)
        return self.known[reference]


class _Resources:
    """A resource and all that are inside it."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk

    def judge(self, item: Item, scope: Scope, canonicals: Iterable[str] = ()) -> None:
        """Judge a resource by profiles and by what it claims, then those inside it."""
        if item.node.type in {"Bundle", "Parameters"}:
            scope = Scope(item, item, scope.full_url, entries(item, scope.bundle))
        for profile in self.asked(item, canonicals):
            self.walk.judge(profile, item, scope)
        for profile in (*self.claimed(item), *self.by_code(item)):
            self.walk.judge(profile, item, scope)
        if item.node.type == "QuestionnaireResponse":
            judge_response(self.walk, scope)
        if self.walk.strictness.advice:
            advise(self.walk, scope)

        def found_inside(inner: Item, holder: Item) -> None:
            if inner.place.rpartition(".")[2].startswith("contained["):
                self.judge(inner, inside(scope, inner))
            else:
                full_url = str(holder.node.value.get("fullUrl", ""))
                self.judge(inner, Scope(inner, inner, full_url, scope.bundle))

        judge_extensions(self.walk, item, scope, found_inside)

    def asked(self, item: Item, canonicals: Iterable[str]) -> Iterator[Profile]:
        """Yield the profiles that are asked for, and those that they impose."""
        for canonical in canonicals:
            profile = self.walk.profiles.get(canonical)
            if profile is None:
                self.walk.note("error", "not-found", "The profile is not known", item.place)
            else:
                yield from self.imposing(profile, item)

    def claimed(self, item: Item) -> Iterator[Profile]:
        """Yield the profiles that a resource claims, and those that they impose."""
        meta = item.node.value.get("meta")
        claims = meta.get("profile", ()) if type(meta) is dict else ()
        for index, canonical in enumerate(claims if type(claims) is list else ()):
            profile = self.walk.profiles.get(canonical) if type(canonical) is str else None
            if profile is not None:
                yield from self.imposing(profile, item)
            elif canonical is not None:
                place = f"{item.place}.meta.profile[{index}]"
                self.walk.note("warning", "not-found", "The profile is not known", place)

    def by_code(self, item: Item) -> Iterator[Profile]:
        """Yield the profiles of vital signs that an Observation's code asks for."""
        code = item.node.value.get("code") if item.node.type == "Observation" else None
        codings = code.get("coding", ()) if type(code) is dict else ()
        for coding in codings if type(codings) is list else ():
            if type(coding) is dict and coding.get("system") == _LOINC:
                name = VITAL_SIGNS.get(str(coding.get("code")))
                profile = self.walk.profiles.get(PREFIX + name) if name else None
                if profile is not None and self.walk.strictness.vital_signs:
                    yield profile

    def imposing(self, profile: Profile, item: Item) -> Iterator[Profile]:
        """Yield a profile and those that it imposes; note those that are not known."""
        seen, ahead = {profile.canonical}, [profile]
        while ahead:
            one = ahead.pop()
            yield one
            for canonical in _imposed(one):
                known = self.walk.profiles.get(canonical)
                if known is None:
                    text = f"A profile that {one.canonical} imposes is not known"
                    severity = self.walk.strictness.unknown_profile
                    self.walk.note(severity, "not-found", text, item.place)
                elif known.canonical not in seen and len(seen) < _MAX_IMPOSED:
                    seen.add(known.canonical)
                    ahead.append(known)


def _imposed(profile: Profile) -> Iterator[str]:
    for extension in profile.definition.get("extension", ()):
        if extension.get("url") in IMPOSED:
            yield str(extension.get("valueCanonical") or extension.get("valueUri"))
