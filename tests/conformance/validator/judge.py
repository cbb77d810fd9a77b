"""A case judged as the server judges: by R4, by profiles, and by value sets.

Questions that only a database could answer are asked again until none is left.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fhir_server.errors import Issue, SangamError
from fhir_server.fhirpath.evaluation import Callbacks
from fhir_server.profiles.codings import Codings
from fhir_server.profiles.judging import Surroundings, validate_profiles
from fhir_server.profiles.profiles import Profiles
from fhir_server.profiles.walk import Strictness
from fhir_server.r4.definitions import load
from fhir_server.validation import bindings
from fhir_server.validation.structure import Validator
from fhir_server.vocabulary.assembly import built_in
from terminology.issues import Refusal
from terminology.library import Layers, Shelf
from terminology.memberships import Memberships, Question
from terminology.ucum.unit import unit
from validator.cases import ERRORS, Case, Judgement, packaged, read

TERMINOLOGY = frozenset(("CodeSystem", "ValueSet", "ConceptMap"))
# As the recorded validator judges.
STRICT = Strictness(
    unknown_extension="error",
    unknown_profile="error",
    advice="error",
    vital_signs=True,
    taken=("http://example.org/", "http://hl7.org/fhir/tools/"),
)
KEPT = 50_000_000


class Around:
    """What is known beside the resource that is judged: definitions, value sets, targets."""

    def __init__(self, resources: list[dict[str, Any]]) -> None:
        self.by_url: dict[str, Any] = {}
        self.by_reference: dict[str, Any] = {}
        shelf = Shelf()
        for one in resources:
            for canonical in (one.get("url"), f"{one.get('url')}|{one.get('version')}"):
                if one["resourceType"] == "StructureDefinition" and canonical:
                    self.by_url.setdefault(canonical, one)
            self.by_reference[f"{one['resourceType']}/{one.get('id')}"] = one
            for canonical in (one.get("url"), f"{one.get('url')}|{one.get('version')}"):
                self.by_reference.setdefault(str(canonical), one)
            if one["resourceType"] in TERMINOLOGY:
                try:
                    shelf.put(one)
                except Refusal:
                    continue
        self.library = Layers(shelf, built_in(KEPT))
        self.memberships = Memberships(self.library)
        self.missing: set[Question] = set()
        self.codings = Codings(self.library)

    def definition(self, canonical: str) -> Mapping[str, Any] | None:
        return self.by_url.get(canonical)

    def member(self, value_set: str, system: str | None, code: str) -> bool | None:
        question = Question(value_set, system or "", code)
        known, answer = self.memberships.known(question)
        if not known:
            self.missing.add(question)
        return answer

    async def know(self, canonical: object) -> None:
        """Take a value set of R4 itself for what a canonical leads to."""
        if isinstance(canonical, str) and await self.library.value_sets(canonical):
            self.by_reference.setdefault(canonical, {"resourceType": "ValueSet"})

    async def read(self) -> None:
        """Find the answers that were missing."""
        await self.memberships.find(self.missing)
        await self.codings.find()
        self.missing.clear()

    def resource(self, reference: str) -> Mapping[str, Any] | None:
        return self.by_reference.get(reference)


class Judge:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.definitions = load()
        self.validator = Validator(self.definitions, Callbacks(units=unit))
        self.profiles = Profiles(self.definitions)

    async def issues(self, case: Case, judgement: Judgement) -> list[Issue]:
        """Return what is wrong with the resource of a case."""
        data = read(self.definitions, self.folder / case.file)
        if isinstance(data, SangamError):
            return list(data.issues)
        if not isinstance(data, dict) or not isinstance(data.get("resourceType"), str):
            return [Issue("error", "structure", "This is no resource")]
        around = Around(self._around(case, judgement))
        await around.know(data.get("questionnaire"))
        found = self.validator.judge(data["resourceType"], data, warnings=True)
        issues = list(found.issues)
        if any(issue.severity in ERRORS and issue.rule is None for issue in issues):
            return issues
        for coded in found.coded:
            questions = [Question(coded.value_set, *one) for one in coded.codings]
            await around.memberships.find(questions)
            answers = [around.memberships.known(one)[1] for one in questions]
            if True not in answers:
                issues.append(
                    bindings.unknown(coded) if None in answers else bindings.outside(coded)
                )
        return issues + await self._profiled(case, data, judgement, around)

    async def _profiled(
        self, case: Case, data: dict[str, Any], judgement: Judgement, around: Around
    ) -> list[Issue]:
        asks = case.manifest
        strictness = replace(
            STRICT,
            examples=asks.get("examples") is not False,
            markup=not (asks.get("security-checks") or asks.get("noHtmlInMarkdown")),
        )
        profiles = self.profiles.seen_through(around)
        asked = self._asked(judgement)
        while True:
            surroundings = Surroundings(around, around, unit, around.codings, strictness)
            found = validate_profiles(profiles, data, asked, surroundings)
            if not around.missing and not around.codings.asked:
                return found
            await around.read()

    def _asked(self, judgement: Judgement) -> list[str]:
        if judgement.profile is None:
            return []
        if judgement.profile.startswith("http"):
            return [judgement.profile]
        read_ = read(self.definitions, self.folder / judgement.profile)
        return [read_["url"]] if isinstance(read_, dict) else []

    def _around(self, case: Case, judgement: Judgement) -> list[dict[str, Any]]:
        names = [*case.around, *([judgement.profile] if judgement.profile else [])]
        found = []
        for name in names:
            place = self.folder / name
            resource = read(self.definitions, place) if place.exists() else None
            if isinstance(resource, dict):
                inner = [resource]
                if resource.get("resourceType") == "Bundle":
                    inner = [
                        one["resource"] for one in resource.get("entry", ()) if "resource" in one
                    ]
                found += inner
        return [*found, *packaged(self.folder, case.packages)]
