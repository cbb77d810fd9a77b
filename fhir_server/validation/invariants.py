"""The invariants of R4 as checks of the walk, each asked only where it can fail.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.fhirpath.engine import compile_expression
from fhir_server.fhirpath.evaluation import Callbacks
from fhir_server.fhirpath.model import Field, Model, model
from fhir_server.fhirpath.parser import parse
from fhir_server.fhirpath.values import Node
from fhir_server.r4.artefact import section
from fhir_server.r4.definitions import Definitions
from fhir_server.validation.gates import necessary
from fhir_server.validation.native import ELSEWHERE, NAMED, NAMES, NATIVE, Broken
from fhir_server.validation.predicate import predicate
from fhir_server.validation.walker import Check, Rules, Trail, Walk, hang

# Told: the walk, the item and a primitive's sibling. Returns whether it is broken.
_Judge = Callable[[Walk, Any, Any], bool]


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule of an element: `key` is unique within its type, `text` for people."""

    key: str
    severity: str
    text: str
    expression: str


@cache
def placed() -> Mapping[str, tuple[Invariant, ...]]:
    """Return the invariants that each type, backbone or element path states itself."""
    content = section("invariants")
    known = {
        name: Invariant(name.rpartition("/")[2], severity, text, expression)
        for name, (severity, text, expression) in content["rules"].items()
    }
    return {path: tuple(known[name] for name in names) for path, names in content["placed"].items()}


def attach(
    types: Mapping[str, Rules],
    definitions: Definitions,
    callbacks: Callbacks,
    severity: str,
) -> None:
    """Add the invariants of this severity to the rules of all types."""
    placer = _Placer(types, definitions, callbacks)
    for path, invariants in placed().items():
        for invariant in invariants:
            if invariant.severity != severity or invariant.key in ELSEWHERE:
                continue
            if path in types:
                for name in placer.heirs(path):
                    placer.on_object(name, invariant)
            else:
                placer.on_member(path, invariant)


class _Placer:
    def __init__(
        self, types: Mapping[str, Rules], definitions: Definitions, callbacks: Callbacks
    ) -> None:
        self.types = types
        self.definitions = definitions
        self.callbacks = callbacks
        self.model: Model = model(definitions)

    def heirs(self, path: str) -> list[str]:
        """Return the type and those that come from it."""
        if "." in path:
            return [path]
        return [name for name in self.types if self.model.is_a(name, path)]

    def on_object(self, type_name: str, invariant: Invariant) -> None:
        """Ask when the walk meets a member that must be there, or else at each object."""
        native = NAMED if invariant.expression == NAMES else NATIVE.get(invariant.key)
        if native is not None:
            gates, judge = [native[0]], _natively(native[1])
        else:
            gates = necessary(parse(invariant.expression), type_name)
            judge = self.judge(type_name, invariant)
        fields = self.model.fields[type_name]
        gates = [name for name in gates if name in fields]
        if not gates:
            self.types[type_name].always += (_always(invariant, judge),)
            return
        wanted = [_names(fields[name]) for name in gates]
        at = min(range(len(gates)), key=lambda index: len(wanted[index]))
        check = _triggered(invariant, judge, wanted[:at] + wanted[at + 1 :])
        for field in fields[gates[at]]:
            self.hang(type_name, field, check)

    def on_member(self, path: str, invariant: Invariant) -> None:
        """Ask for each item of an element that states it for itself alone."""
        owner, _, last = path.rpartition(".")
        stem = last.removesuffix("[x]")
        for field in self.model.fields[owner][stem]:
            judge = self.judge(field.type, invariant)
            self.hang(owner, field, _for_each(invariant, judge))

    def hang(self, type_name: str, field: Field, check: Check) -> None:
        """Run the check at this member, after what is checked there already."""
        element = self.definitions.elements[type_name][field.name]
        names = [name for name in (field.name, field.beside) if name]
        hang(self.types[type_name], element, names, check)

    def judge(self, type_name: str, invariant: Invariant) -> _Judge:
        """Return how the invariant is judged of items of this type, made ready when needed."""
        test = predicate(self.model, type_name, parse(invariant.expression))
        if test is not None:
            return lambda _, item, __: test(item) is False

        def judge(walk: Walk, item: object, extra: object) -> bool:
            expression = compile_expression(self.definitions, invariant.expression)
            found = expression.run(
                Node(type_name, item, extra),
                callbacks=self.callbacks,
                resource=Node(walk.type, walk.data),
                root=Node(str(walk.root.get("resourceType")), walk.root),
            )
            return len(found) == 1 and found[0] is False

        return judge


def _names(fields: tuple[Field, ...]) -> tuple[str, ...]:
    return tuple(name for field in fields for name in (field.name, field.beside) if name)


def _natively(broken: Broken) -> _Judge:
    return lambda walk, item, _: broken(item, walk.data, walk.root)


def _ask(walk: Walk, invariant: Invariant, judge: _Judge, item: Any, extra: Any) -> bool:  # noqa: ANN401
    """Return whether it is broken; what cannot be evaluated counts as met."""
    try:
        return judge(walk, item, extra)
    except BadRequest:
        return False
    except Unprocessable:
        walk.give_up(invariant.key)
        return False


def _always(invariant: Invariant, judge: _Judge) -> Callable[[Walk, dict[str, Any], Trail], None]:
    def check(walk: Walk, data: dict[str, Any], trail: Trail) -> None:
        if walk.sound and _ask(walk, invariant, judge, data, None):
            walk.break_rule(invariant.key, invariant.severity, invariant.text, trail)

    return check


def _triggered(invariant: Invariant, judge: _Judge, others: list[tuple[str, ...]]) -> Check:
    gates = [frozenset(names) for names in others]

    def check(walk: Walk, data: dict[str, Any], _: str, __: Any, trail: Trail) -> None:  # noqa: ANN401
        if not walk.sound:
            return
        for names in gates:
            if names.isdisjoint(data):
                return
        if _ask(walk, invariant, judge, data, None):
            walk.break_rule(invariant.key, invariant.severity, invariant.text, trail[0])

    return check


def _for_each(invariant: Invariant, judge: _Judge) -> Check:
    def check(walk: Walk, data: dict[str, Any], name: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
        if not walk.sound or name.startswith("_"):
            return
        many = type(value) is list
        for index, item in enumerate(value if many else [value]):
            extra = None if many else data.get(f"_{name}")
            if _ask(walk, invariant, judge, item, extra):
                place = (trail, f"[{index}]") if many else trail
                walk.break_rule(invariant.key, invariant.severity, invariant.text, place)

    return check
