"""Search parameter expressions compiled to one Python function a resource type.

The element table tells at compile time what is a list, what a choice, and of
which type a value is, so the function only walks members and calls writers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fhir_server.r4.definitions import Element
from fhir_server.search import composite
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import (
    As,
    Extension,
    Happened,
    Index,
    Member,
    Path,
    Resolves,
    Root,
    Step,
    Where,
    WithExtension,
    parse,
)
from fhir_server.search.reference import target_type
from fhir_server.search.rows import Rows
from fhir_server.search.searchtype import SEARCH_TYPES

Elements: TypeAlias = Mapping[str, Mapping[str, Element]]
Write: TypeAlias = Callable[[dict[str, Any], Rows], None]

ABSTRACT = ("Resource", "DomainResource")
_INDENT = "    "


@dataclass(slots=True)
class Facts:
    """What the expression tells of a parameter's values.

    `types` are the element types indexed; `single` says that a resource has at
    most one; `bindings` are the value sets of its code elements; `parts` are the
    element types of each component of a composite.
    """

    types: set[str] = field(default_factory=set)
    parts: list[set[str]] = field(default_factory=list)
    single: bool = True
    bindings: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Place:
    """A value at compile time: its variable, its element type, its parent's type and member."""

    variable: str
    type: str
    parent: str = ""
    element: Element | None = None
    repeats: bool = False


Done: TypeAlias = Callable[[Place, str], None]


def paths(parameter: Parameter) -> tuple[Path, ...]:
    """Return the paths of the parameter's expression that start at its type, or nowhere."""
    roots = (parameter.base, "", *ABSTRACT)
    return tuple(
        path
        for path in parse(parameter.expression)
        if isinstance(path[0], Root) and path[0].name in roots
    )


class Compiler:
    """The source of one resource type's function, as it grows."""

    def __init__(self, elements: Elements, type_name: str) -> None:
        self.elements = elements
        self.type_name = type_name
        self.lines: list[str] = ["def write(r, rows):", f"{_INDENT}pass"]
        self.names: dict[str, Any] = {"target_type": target_type}
        self.facts: dict[str, Facts] = {}
        self.count = 0

    def function(self) -> Write:
        """Return the function that writes a resource's rows."""
        code = compile("\n".join(self.lines), f"<search rows of {self.type_name}>", "exec")
        exec(code, self.names)  # noqa: S102  (source made here from the R4 definitions)
        found: Write = self.names["write"]
        return found

    def variable(self, value: Any = None) -> str:  # noqa: ANN401  (whatever is named)
        """Return a fresh name, bound to `value` in the function's globals if given."""
        self.count += 1
        name = f"v{self.count}"
        if value is not None:
            name = f"g{self.count}"
            self.names[name] = value
        return name

    def emit(self, indent: str, line: str) -> None:
        """Add a line."""
        self.lines.append(f"{indent}{line}")

    def add(self, parameter: Parameter, *, index: bool = True) -> None:
        """Add the walk of one parameter; without `index` only its facts are found."""
        facts = self.facts.setdefault(parameter.code, Facts())
        found = paths(parameter)
        facts.single = len(found) == 1
        kept = len(self.lines)
        for path in found:
            root = Place("r", self.type_name)
            if parameter.type == "composite":
                self.walk(path[1:], root, _INDENT, self.composite_done(parameter, facts))
            else:
                self.walk(path[1:], root, _INDENT, self.done(parameter, facts))
        if not index:
            del self.lines[kept:]

    def done(self, parameter: Parameter, facts: Facts) -> Done:
        """Return what happens at the end of a path: a writer is called."""
        module = SEARCH_TYPES[parameter.type]
        bound = self.variable(parameter)

        def finish(place: Place, indent: str) -> None:
            if place.type == "Extension":
                self.walk((Member("value"),), place, indent, finish)
                return
            writer = module.WRITERS.get(place.parent) or module.WRITERS.get(place.type)
            if writer is None:
                return
            facts.types.add(place.type)
            facts.single &= not place.repeats
            if place.element is not None and place.element.binding and place.type == "code":
                facts.bindings.add(place.element.binding.value_set)
            self.emit(indent, f"{self.variable(writer)}(rows, {bound}, {place.variable})")

        return finish

    def composite_done(self, parameter: Parameter, facts: Facts) -> Done:
        """Return what happens at a composite's element: its parts are gathered and paired."""
        bound = self.variable(parameter)
        pair = self.variable(composite.write)
        facts.parts = [set() for _ in parameter.component]

        def finish(place: Place, indent: str) -> None:
            lists = [self.variable() for _ in parameter.component]
            for name, component, types in zip(lists, parameter.component, facts.parts, strict=True):
                self.emit(indent, f"{name} = []")
                for path in parse(component.expression):
                    whole = path[0] == Root("%resource")
                    start = Place("r", self.type_name) if whole else place
                    self.walk(path[1:], start, indent, self.gather(name, types))
            self.emit(indent, f"{pair}(rows, {bound}, [{', '.join(lists)}])")

        return finish

    def gather(self, name: str, types: set[str]) -> Done:
        """Return what happens at the end of a component's path: type and value are kept."""

        def finish(place: Place, indent: str) -> None:
            types.add(place.type)
            self.emit(indent, f"{name}.append(({place.type!r}, {place.variable}))")

        return finish

    def walk(self, steps: Sequence[Step], place: Place, indent: str, done: Done) -> None:
        """Add the code of the remaining steps from `place`."""
        if not steps:
            done(place, indent)
            return
        step, rest = steps[0], steps[1:]
        match step:
            case Member(name):
                self.member(name, rest, place, indent, done)
            case As(type_name):
                if place.type.lower() == type_name.lower():
                    self.walk(rest, place, indent, done)
            case Index():
                self.walk(rest, place, indent, done)  # read by `member`, which loops
            case Happened():
                raise AssertionError("read by `member`")
            case _:
                self.filter(step, rest, place, indent, done)

    def filter(
        self, step: Step, rest: Sequence[Step], place: Place, indent: str, done: Done
    ) -> None:
        """Add a test of the element, or a loop over its extensions."""
        variable = place.variable
        match step:
            case Where(member, text):
                self.emit(indent, f"if {variable}.get({member!r}) == {text!r}:")
            case Resolves(type_name):
                self.emit(indent, f"if target_type({variable}, r) == {type_name!r}:")
            case WithExtension(url):
                test = f"any(e.get('url') == {url!r} for e in {variable}.get('extension', ()))"
                self.emit(indent, f"if {test}:")
            case Extension(url):
                inner = self.variable()
                self.emit(indent, f"for {inner} in {variable}.get('extension', ()):")
                self.emit(indent + _INDENT, f"if {inner}.get('url') == {url!r}:")
                place = Place(inner, "Extension", repeats=True)
                indent += _INDENT
        self.walk(rest, place, indent + _INDENT, done)
        self.emit(indent + _INDENT, "pass")

    def member(
        self, name: str, rest: Sequence[Step], place: Place, indent: str, done: Done
    ) -> None:
        """Add the reading of a member, in each type that a choice may have."""
        children = self.elements.get(place.type, {})
        named = [children[name]] if name in children else _choices(children, name)
        if rest and isinstance(rest[0], Happened):
            self.happened([element.name for element in named], place, indent, done)
            return
        for element in named:
            if rest and isinstance(rest[0], As) and rest[0].type.lower() != element.type.lower():
                continue
            self.child(element, rest, place, indent, done)

    def child(
        self, element: Element, rest: Sequence[Step], place: Place, indent: str, done: Done
    ) -> None:
        """Add the reading of one member: a loop where it repeats."""
        variable = self.variable()
        self.emit(indent, f"{variable} = {place.variable}.get({element.name!r})")
        self.emit(indent, f"if {variable} is not None:")
        indent += _INDENT
        repeats = element.max != 1
        placed = rest and isinstance(rest[0], Index)
        if repeats:
            items, variable = variable, self.variable()
            piece = f"[{rest[0].place} : {rest[0].place + 1}]" if placed else ""  # type: ignore[union-attr]
            self.emit(indent, f"for {variable} in {items}{piece}:")
            self.emit(indent + _INDENT, f"if {variable} is not None:")
            indent += _INDENT * 2
        inner = Place(
            variable,
            element.type,
            f"{place.type}.{element.name}",
            element,
            place.repeats or (repeats and not placed),
        )
        self.walk(rest, inner, indent, done)
        self.emit(indent, "pass")

    def happened(self, names: list[str], place: Place, indent: str, done: Done) -> None:
        """Add the boolean: some member exists and none of them is `false`."""
        variable = self.variable()
        tests = " or ".join(f"{place.variable}.get({n!r}, False) is not False" for n in names)
        self.emit(indent, f"{variable} = {tests}")
        done(Place(variable, "boolean", repeats=place.repeats), indent)


def _choices(children: Mapping[str, Element], name: str) -> list[Element]:
    """Return the members that the choice element `name[x]` has become."""
    return [element for element in children.values() if element.choice == name]
