"""One pass over a resource with a profile beside it.

https://hl7.org/fhir/R4/profiling.html
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from fhir_server.errors import BadRequest, Issue, Unprocessable
from fhir_server.fhirpath.engine import compile_expression
from fhir_server.fhirpath.evaluation import Callbacks
from fhir_server.fhirpath.quantity import Unit, Units
from fhir_server.fhirpath.values import Item as PathItem
from fhir_server.fhirpath.values import Node
from fhir_server.profiles.binding import codes, is_coded, is_member
from fhir_server.profiles.compile import Part, Profile, Rule, Slicing, Type
from fhir_server.profiles.place import Item, named, resource_item
from fhir_server.profiles.profiles import Profiles
from fhir_server.profiles.scope import Scope, Target, kind_named, target
from fhir_server.profiles.seams import Bindings, Codes, Nothing, Targets
from fhir_server.profiles.slicing import Ask, Fit, alike, fit
from fhir_server.profiles.values import compared, equal, has_pattern, quantities

MAX_ISSUES: Final = 100
# An element judged is a step; what takes more is refused rather than waited for.
MAX_STEPS: Final = 300_000
MAX_SECONDS: Final = 5.0
MAX_DEPTH: Final = 60
_SECTION: Final = re.compile(r"""<div\s[^<>]*?\blang\s*=\s*["']([^"']+)["']""")
_REFERENCES: Final = frozenset(("Reference", "canonical"))


def no_unit(code: str) -> Unit | None:  # noqa: ARG001
    """Know no unit."""
    return None


@dataclass(slots=True)
class Budget:
    """What judging may still cost."""

    steps: int = MAX_STEPS
    deadline: float = field(default_factory=lambda: monotonic() + MAX_SECONDS)

    def look(self) -> None:
        """Unprocessable (`too-costly`) where the time is over: asked before each expression."""
        if monotonic() > self.deadline:
            raise Unprocessable("Judging by profiles takes too long", code="too-costly")

    def spend(self, steps: int = 1) -> None:
        """Take steps off; Unprocessable (`too-costly`) where none are left."""
        self.steps -= steps
        if self.steps < 0:
            raise Unprocessable("Judging by profiles takes too long", code="too-costly")


@dataclass(frozen=True, slots=True)
class Strictness:
    """The severity of what one server may take and another refuse."""

    unknown_extension: str = "information"
    unknown_profile: str = "warning"
    """Of a profile that a definition names."""
    advice: str | None = None
    """Of what R4 means and states in no rule; None asks for no advice."""
    vital_signs: bool = False
    """An Observation with the LOINC code of a vital sign is judged by R4's profile of it."""
    examples: bool = True
    """URLs of example.org may stand in a resource."""
    markup: bool = True
    """Texts may have what looks like HTML."""
    taken: tuple[str, ...] = ()
    """How the URLs of extensions begin that may be unknown."""


@dataclass(slots=True)
class Walk:
    """A pass that notes `issues`; `trying` only asks whether there is an error.

    `under_way` are the pairs of item and profile that are being judged: one of
    them met again is taken to conform, as nothing else could be said.
    """

    profiles: Profiles
    bindings: Bindings = field(default_factory=Nothing)
    targets: Targets = field(default_factory=Nothing)
    codes: Codes = field(default_factory=Nothing)
    strictness: Strictness = field(default_factory=Strictness)
    units: Units = field(default=no_unit)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    budget: Budget = field(default_factory=Budget)
    issues: dict[tuple[str, str | None, str], Issue] = field(default_factory=dict)
    done: dict[tuple[int | str, str], bool] = field(default_factory=dict)
    under_way: set[tuple[int | str, str]] = field(default_factory=set)

    @property
    def ask(self) -> Ask:
        """Return what telling slices apart may ask."""
        return Ask(self.profiles, self.targets, self.conforms, self.member)

    @property
    def failed(self) -> bool:
        """Return whether an error was found."""
        return any(issue.severity == "error" for issue in self.issues.values())

    def note(
        self, severity: str, code: str, text: str, place: str, rule: str | None = None
    ) -> None:
        """Note an issue, once for each place."""
        most = 2 * MAX_ISSUES if severity == "error" else MAX_ISSUES
        if len(self.issues) <= most:
            issue = Issue(severity, code, text, place, rule=rule)
            self.issues.setdefault((code, place, rule or text), issue)

    def advise(self, code: str, text: str, place: str) -> None:
        """Note what R4 means and states in no rule."""
        self.note(self.strictness.advice or "information", code, text, place)

    def member(self, value_set: str, item: Item) -> bool | None:
        """Return whether a code of an item is in a value set."""
        return is_member(self.bindings, value_set, item)

    def conforms(self, profile: Profile, item: Item, scope: Scope) -> bool:
        """Return whether an item meets a profile, with no word of why not."""
        key = (item.key, profile.canonical)
        if key in self.under_way:
            return True
        if key not in self.done:
            trial = replace(self, issues={})
            trial.judge(profile, item, scope)
            if len(self.under_way) > 0 and not trial.failed:
                # What is under way was taken to conform, so that this may be no last word.
                return True
            self.done[key] = not trial.failed
        return self.done[key]

    def judge(self, profile: Profile, item: Item, scope: Scope) -> None:
        """Note how an item departs from a profile."""
        key = (item.key, profile.canonical)
        if key in self.under_way or len(self.under_way) > MAX_DEPTH:
            return
        if not self.is_of(item, profile):
            text = f"The profile {profile.canonical} is for {profile.type}"
            self.note("error", "invalid", text, item.place)
            return
        self.under_way.add(key)
        try:
            if profile.own:
                self.value(profile.root, item, scope, profile)
        finally:
            self.under_way.discard(key)

    def is_of(self, item: Item, profile: Profile) -> bool:
        """Return whether an item has the type that a profile is for."""
        kind = item.node.type
        if "." in kind or kind == profile.type:
            return True
        return self.profiles.model.is_a(kind, profile.type)

    def value(self, part: Part, item: Item, scope: Scope, profile: Profile) -> None:
        """Judge one item by one part, and what is inside it."""
        self.budget.spend()
        self.content(part, item, profile)
        if part.binding:
            self.bound(part, item, profile)
        for rule in part.rules:
            self.rule(rule, item, scope, profile)
        if part.languages:
            self.languages(part, item, scope, profile)
        if part.types and part.name:
            self.typed(part, item, scope, profile)
        for child in part.members:
            items = named(self.profiles.model, item, child.name.removesuffix("[x]"))
            if items or child.min or any(one.min for one in child.slices):
                self.group(child, items, item, scope, profile)

    def content(self, part: Part, item: Item, profile: Profile) -> None:
        """Judge a value by what is fixed, patterned or bounded."""
        value, place, by = item.node.value, item.place, f"({profile.canonical})"
        if part.fixed and not equal(value, part.fixed[1]):
            self.note("error", "value", f"The value is not the one that is fixed {by}", place)
        if part.pattern and not has_pattern(value, part.pattern[1]):
            self.note("error", "value", f"The value does not have the pattern {by}", place)
        if part.max_length is not None and type(value) is str and len(value) > part.max_length:
            text = f"The text is longer than {part.max_length} {by}"
            self.note("error", "too-long", text, place)
        if part.min_length is not None and type(value) is str and len(value) < part.min_length:
            text = f"The text is shorter than {part.min_length} {by}"
            self.note("error", "value", text, place)
        if part.needs_value and value is None and not self.stands_in(part, item):
            self.note("error", "required", f"A value is needed {by}", place)
        kind = item.node.type
        if part.least and self.compared(kind, value, part.least[1]) == -1:
            self.note("error", "value", f"The value is below the least allowed {by}", place)
        if part.most and self.compared(kind, value, part.most[1]) == 1:
            self.note("error", "value", f"The value is above the most allowed {by}", place)

    def stands_in(self, part: Part, item: Item) -> bool:
        """Return whether an extension is there that the profile takes instead of a value."""
        found = named(self.profiles.model, item, "extension")
        return any(one.node.value.get("url") in part.alternatives for one in found)

    def compared(self, kind: str, value: PathItem, bound: PathItem) -> int | None:
        """Return how a value stands to a bound; quantities by their units."""
        if type(value) is dict and type(bound) is dict:
            return quantities(value, bound, self.units)
        return compared(kind, value, bound, self.now)

    def bound(self, part: Part, item: Item, profile: Profile) -> None:
        """Judge a code by the value set that it is bound to."""
        binding = part.binding
        if binding is None or not is_coded(item):
            return
        if binding.max_value_set and any(codes(item)):
            self.coded("required", binding.max_value_set, item, profile)
        for value_set in binding.additional:
            self.coded("required", value_set, item, profile)
        if binding.strength in {"required", "extensible"}:
            self.coded(binding.strength, binding.value_set, item, profile)

    def coded(self, strength: str, value_set: str, item: Item, profile: Profile) -> None:
        """Judge a code by a value set of this strength."""
        known = self.member(value_set, item)
        if known:
            return
        by = f"of the value set {value_set} ({profile.canonical})"
        if known is None:
            text = f"Whether the code is one {by} is not known"
            self.note("information", "not-found", text, item.place)
        elif strength == "required":
            if item.node.value is not None:
                self.note("error", "code-invalid", f"No code is one {by}", item.place)
        elif any(codes(item)):
            self.note("warning", "code-invalid", f"No code is one {by}", item.place)

    def languages(self, part: Part, item: Item, scope: Scope, profile: Profile) -> None:
        """Judge the sections of a narrative by the languages that a profile asks for."""
        found = narrative_languages(str(item.node.value.get("div", "")))
        own = scope.resource.node.value.get("language")
        wanted = {own if one == "_resource" else one for one in part.languages} - {None}
        by = f"({profile.canonical})"
        if "_no" in wanted and found:
            self.note(
                "error", "structure", f"Sections by language are not allowed {by}", item.place
            )
        elif "_yes" in wanted and not found:
            self.note("error", "required", f"Sections by language are needed {by}", item.place)
        elif wanted - {"_no", "_yes"} - found:
            text = f"A section in a language that is needed is missing {by}"
            self.note("error", "required", text, item.place)

    def rule(self, rule: Rule, item: Item, scope: Scope, profile: Profile) -> None:
        """Judge an item by an invariant of the profile."""
        try:
            met = self.met(rule.expression, item, scope)
        except BadRequest:
            text = f"The invariant {rule.key} cannot be evaluated ({profile.canonical})"
            self.note("warning", "processing", text, item.place, rule.key)
            return
        if not met:
            text = f"{rule.text} ({rule.key}, {profile.canonical})"
            self.note(rule.severity, "invariant", text, item.place, rule.key)

    def met(self, expression: str, item: Item, scope: Scope, **variables: list[Node]) -> bool:
        """Return whether an expression is true of an item; what is not false counts as true."""
        return self.selected(expression, item, scope, **variables) != [False]

    def selected(
        self, expression: str, item: Item, scope: Scope, **variables: list[Node]
    ) -> list[PathItem]:
        """Return what an expression selects of an item; BadRequest where it has no meaning."""
        self.budget.spend(10)
        self.budget.look()
        resource, root = scope.nodes
        return compile_expression(self.profiles.definitions, expression).run(
            item.node,
            callbacks=self.callbacks(scope),
            resource=resource,
            root=root,
            variables=variables,
        )

    def callbacks(self, scope: Scope) -> Callbacks:
        """Return what an expression may ask."""

        def resolve(reference: str) -> dict[str, PathItem] | None:
            found = target(scope, reference, self.targets)
            return found.scope.resource.node.value if found else None

        def member_of(node: Node, value_set: str) -> bool | None:
            return self.member(value_set, Item(node, ""))

        def conforms_to(node: Node, canonical: str) -> bool | None:
            profile = self.profiles.get(canonical)
            if profile is None:
                return None
            return self.conforms(profile, Item(node, scope.resource.place), scope)

        return Callbacks(resolve, member_of, conforms_to, self.units)

    def typed(self, part: Part, item: Item, scope: Scope, profile: Profile) -> None:
        """Judge an item by the types that a part allows, and by the profiles on them."""
        fitting = [type_ for type_ in part.types if self.is_type(type_.code, item)]
        if not fitting:
            if part.name.endswith("[x]") or type(item.node.value) is dict:
                text = f"The profile {profile.canonical} does not allow this type here"
                self.note("error", "structure", text, item.place)
            return
        canonicals = [url for type_ in fitting for url in type_.profiles]
        if canonicals:
            self.by_one_of(canonicals, item, scope, profile)
        if item.node.type in _REFERENCES:
            self.reference(fitting, item, scope, profile)

    def is_type(self, code: str, item: Item) -> bool:
        """Return whether an item is of a type as an ElementDefinition names it."""
        kind = item.node.type
        if "." in kind or not code or code == kind or code.startswith("http"):
            return True
        if code in {"Element", "BackboneElement"}:
            return True
        return code[:1].isupper() and self.profiles.model.is_a(kind, code)

    def by_one_of(
        self, canonicals: Sequence[str], item: Item, scope: Scope, profile: Profile
    ) -> None:
        """Judge an item by profiles of which it is to meet one."""
        known = [found for found in map(self.profiles.get, canonicals) if found]
        if len(known) < len(canonicals):
            text = f"A profile that {profile.canonical} names is not known"
            self.note(self.strictness.unknown_profile, "not-found", text, item.place)
            return
        if len(known) == 1:
            self.judge(known[0], item, scope)
        elif not any(self.conforms(one, item, scope) for one in known):
            text = f"It meets none of the profiles that {profile.canonical} allows here"
            self.note("error", "invalid", text, item.place)

    def reference(self, types: Sequence[Type], item: Item, scope: Scope, profile: Profile) -> None:
        """Judge a reference by how it may lead, and to what."""
        value = item.node.value
        text = value.get("reference") if type(value) is dict else value
        if type(text) is not str:
            return
        found = target(scope, text, self.targets)
        self.aggregated(types, found, item, profile)
        kind = found.scope.resource.node.type if found else kind_named(self.profiles.model, text)
        canonicals = [url for type_ in types for url in type_.targets]
        known = [self.profiles.get(url) for url in canonicals]
        if not kind or not canonicals or None in known:
            return
        fitting = [one for one in known if one and self.profiles.model.is_a(kind, one.type)]
        if not fitting:
            by = f"({profile.canonical})"
            self.note(
                "error", "invalid", f"The target has a type that is not allowed {by}", item.place
            )
        elif (
            found
            and item.node.type == "Reference"
            and not any(
                not one.own or self.conforms(one, found.scope.resource, found.scope)
                for one in fitting
            )
        ):
            text = f"The target meets no profile that {profile.canonical} allows"
            self.note("error", "invalid", text, item.place)

    def aggregated(
        self, types: Sequence[Type], found: Target | None, item: Item, profile: Profile
    ) -> None:
        """Judge whether the target may be where it is."""
        modes = frozenset[str]().union(*(type_.aggregation for type_ in types))
        if not modes or any(not type_.aggregation for type_ in types):
            return
        mode = found.mode if found else "referenced"
        if mode not in modes and not (mode == "bundled" and "referenced" in modes):
            text = f"The target is {mode}, which {profile.canonical} does not allow"
            self.note("error", "invalid", text, item.place)

    def group(
        self,
        part: Part,
        items: Sequence[Item],
        owner: Item,
        scope: Scope,
        profile: Profile,
        maybe: int = 0,
    ) -> None:
        """Judge all items of one element, or of one slice of it, which `maybe` has more."""
        self.counted(part, items, owner, profile, maybe)
        for item in items:
            self.value(part, item, scope, profile)
        if part.slices or (part.slicing and part.slicing.rules != "open"):
            self.sliced(part, part.slicing, items, owner, scope, profile)

    def counted(
        self, part: Part, items: Sequence[Item], owner: Item, profile: Profile, maybe: int
    ) -> None:
        """Judge how many items there are."""
        name = part.name.removesuffix("[x]")
        what = f"{name}:{part.slice}" if part.slice else name
        place = f"{owner.place}.{name}"
        if len(items) + maybe < part.min:
            text = f"{what} is needed {part.min} times at least ({profile.canonical})"
            self.note("error", "required", text, place)
        if part.max is not None and len(items) > part.max:
            text = f"{what} is allowed {part.max} times at most ({profile.canonical})"
            self.note("error", "structure", text, place)

    def sliced(
        self,
        part: Part,
        slicing: Slicing | None,
        items: Sequence[Item],
        owner: Item,
        scope: Scope,
        profile: Profile,
    ) -> None:
        """Give each item to its slice, and judge the slices.

        An item of which it is not known whether it is one of a slice is judged by none.
        """
        chosen: list[tuple[Item, int | None]] = []
        members: list[list[Item]] = [[] for _ in part.slices]
        maybe = [0 for _ in part.slices]
        ask = self.ask
        for item in items:
            self.budget.spend(len(part.slices))
            verdicts = [
                Fit.NO if one.slice == "@default" else fit(ask, one, slicing, item, scope)
                for one in part.slices
            ]
            fitting = [index for index, one in enumerate(verdicts) if one is Fit.YES]
            if len(fitting) > 1:
                verdicts = self.several(part, slicing, verdicts, item, profile)
            if Fit.YES not in verdicts and Fit.OPEN in verdicts:
                text = f"Of which slice it is cannot be told ({profile.canonical})"
                self.note("information", "not-found", text, item.place)
                maybe = [n + (one is Fit.OPEN) for n, one in zip(maybe, verdicts, strict=True)]
                continue
            chosen.append((item, fitting[0] if fitting else None))
            if fitting:
                members[fitting[0]].append(item)
        if slicing:
            self.rest(part, slicing, chosen, members, profile)
        for one, mine, more in zip(part.slices, members, maybe, strict=True):
            if one.slicing is None:
                one = replace(one, slicing=slicing) if one.slices else one  # noqa: PLW2901
            self.group(one, mine, owner, scope, profile, more)

    def several(
        self,
        part: Part,
        slicing: Slicing | None,
        verdicts: list[Fit],
        item: Item,
        profile: Profile,
    ) -> list[Fit]:
        """Judge an item that fits several slices; those that are alike are left open."""
        fitting = [
            one for one, verdict in zip(part.slices, verdicts, strict=True) if verdict is Fit.YES
        ]
        if all(alike(self.ask, fitting[0], one, slicing) for one in fitting[1:]):
            text = f"{part.name} has slices that cannot be told apart ({profile.canonical})"
            self.note("warning", "processing", text, item.place)
            return [Fit.OPEN if verdict is Fit.YES else verdict for verdict in verdicts]
        text = f"It fits several slices ({profile.canonical})"
        self.note("error", "structure", text, item.place)
        return verdicts

    def rest(
        self,
        part: Part,
        slicing: Slicing,
        chosen: list[tuple[Item, int | None]],
        members: list[list[Item]],
        profile: Profile,
    ) -> None:
        """Judge the items of no slice, and the order."""
        default = next((n for n, one in enumerate(part.slices) if one.slice == "@default"), None)
        by = f"({profile.canonical})"
        ended, latest = False, -1
        for item, index in chosen:
            if index is None:
                ended = True
                if default is not None:
                    members[default].append(item)
                elif slicing.rules == "closed":
                    text = f"It fits no slice, and others are not allowed {by}"
                    self.note("error", "structure", text, item.place)
                continue
            if ended and slicing.rules == "openAtEnd":
                text = f"Items of no slice come after those of slices {by}"
                self.note("error", "structure", text, item.place)
            if slicing.ordered and index < latest:
                self.note("error", "structure", f"The slices are out of order {by}", item.place)
            latest = max(latest, index)


def narrative_languages(div: str) -> frozenset[str]:
    """Return the languages that the sections of a narrative say they are in."""
    inner = div.partition(">")[2]
    return frozenset(_SECTION.findall(inner))


def whole(data: dict[str, PathItem]) -> Item:
    """Return a resource as the item that judging begins with."""
    return resource_item(data, str(data.get("resourceType", "Resource")))
