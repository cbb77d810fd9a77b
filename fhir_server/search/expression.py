"""Search parameter expressions compiled to one Python function a resource type.

The element table tells at compile time what is a list, what a choice, and of
which type a value is, so the function only walks members and calls writers.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from fhir_server.r4.definitions import Definitions, Element
from fhir_server.search import composite
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import (
    As,
    ExpressionError,
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
from fhir_server.search.token import loose

Elements: TypeAlias = Mapping[str, Mapping[str, Element]]
Write: TypeAlias = Callable[[dict[str, Any], Rows], None]
WriteMember: TypeAlias = Callable[[Any, dict[str, Any], Rows], None]
"""Writes the rows of one member's value; its resource tells what else is contained in it."""

ABSTRACT = ("Resource", "DomainResource")
_INDENT = "    "
_WHOLE = ""
"""Stands among the members that are read for the resource as a whole."""

STEPS = 20
"""Steps of a path that is checked strictly; its loops lie in one another."""
LINES = 2_000
"""Lines that such a parameter may become; choices in choices multiply."""


@dataclass(slots=True)
class Facts:
    """What the expression tells of a parameter's values.

    `types` are the element types indexed; `single` says that a resource has at
    most one; `bindings` are the value sets of its code elements; `parts` are the
    element types of each component of a composite. `targets` are the types to which
    its references may lead, `Resource` among them where that is any.
    """

    types: set[str] = field(default_factory=set)
    parts: list[set[str]] = field(default_factory=list)
    single: bool = True
    bindings: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Written:
    """What writes a resource's rows: of each member that stands for itself, and of the rest."""

    members: Mapping[str, WriteMember]
    rest: Write

    def __call__(self, resource: dict[str, Any], rows: Rows) -> None:
        """Write the rows of a resource."""
        members = self.members
        for name, value in resource.items():
            write = members.get(name)
            if write is not None:
                write(value, resource, rows)
        self.rest(resource, rows)


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
    """The source of one resource type's function, as it grows.

    What the official parameters leave without meaning (a path that ends nowhere) is
    left out; under `strict`, for those of others, it is an ExpressionError.
    """

    def __init__(self, definitions: Definitions, type_name: str, *, strict: bool = False) -> None:
        self.elements = definitions.elements
        self.code_systems = definitions.code_systems
        self.type_name = type_name
        self.strict = strict
        self.ends = 0
        self.lines: list[str] = []
        self.read: dict[str, str] = {}
        # Lines that read one member alone, and what the parameter of this moment reads.
        self.apart: dict[str, list[str]] = {}
        self.reads: set[str] = set()
        self.names: dict[str, Any] = {"target_type": target_type}
        self.facts: dict[str, Facts] = {}
        self.count = 0

    def function(self) -> Write:
        """Return the function that writes a resource's rows."""
        lines = [*self.lines, *(line for found in self.apart.values() for line in found)]
        found: Write = self._compiled([("write", "r, rows", self.read, lines)])["write"]
        return found

    def functions(self) -> Written:
        """Return the functions that write a resource's rows, member by member where they can."""
        left = {name: one for name, one in self.read.items() if name not in self.apart}
        left |= {name: self.read[name] for name in self.apart if self._is_read(self.read[name])}
        sources = [("write", "r, rows", left, self.lines)]
        sources += [
            (f"write_{variable}", f"{variable}, r, rows", {}, self.apart[name])
            for name, variable in self.read.items()
            if name in self.apart
        ]
        found = self._compiled(sources)
        members = {name: found[f"write_{self.read[name]}"] for name in self.apart}
        return Written(members, found["write"])

    def _is_read(self, variable: str) -> bool:
        """Return whether a variable stands in the lines that read several members."""
        return re.search(rf"\b{variable}\b", "\n".join(self.lines)) is not None

    def _compiled(
        self, sources: Sequence[tuple[str, str, Mapping[str, str], Sequence[str]]]
    ) -> dict[str, Any]:
        """Return the namespace of functions: name, arguments, members that it reads, lines."""
        text: list[str] = []
        for name, arguments, read, lines in sources:
            text += [f"def {name}({arguments}):", f"{_INDENT}pass"]
            text += (f"{_INDENT}{variable} = r.get({m!r})" for m, variable in read.items())
            text += lines
        try:
            code = compile("\n".join(text), f"<search rows of {self.type_name}>", "exec")
        except (SyntaxError, MemoryError, RecursionError) as error:
            raise ExpressionError("too many lists in one another") from error
        # Source made here; of an expression it holds names of elements and quoted texts.
        exec(code, self.names)  # noqa: S102
        return self.names

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
        if self.strict and len(self.lines) > LINES:
            raise ExpressionError("too many choices in one another")

    def refuse(self, text: str) -> None:
        """Refuse what has no meaning, under strict reading."""
        if self.strict:
            raise ExpressionError(text)

    def add(self, parameter: Parameter, *, index: bool = True) -> None:
        """Add the walk of one parameter; without `index` only its facts are found."""
        facts = self.facts.setdefault(parameter.code, Facts())
        found = paths(parameter)
        facts.single = len(found) == 1
        kept, self.reads = len(self.lines), set()
        if not found:
            self.refuse(f"no path starts at {self.type_name}")
        for path in found:
            root = Place("r", self.type_name)
            if parameter.type == "composite":
                done = self.composite_done(parameter, facts)
            else:
                done = self.done(parameter, facts)
            self.follow(path, root, _INDENT, done, parameter.type)
        own, self.lines = self.lines[kept:], self.lines[:kept]
        if not index:
            return
        alone = len(self.reads) == 1 and _WHOLE not in self.reads
        lines = self.apart.setdefault(min(self.reads), []) if alone else self.lines
        lines += own

    def follow(self, path: Path, place: Place, indent: str, done: Done, kind: str) -> None:
        """Add the code of a whole path; under strict reading it must end at some value."""
        if len(path) > STEPS:
            self.refuse(f"more than {STEPS} steps")
        before = self.ends
        self.walk(path[1:], place, indent, done)
        if self.ends == before:
            self.refuse(f"a path leads to no value that a {kind} parameter of {place.type} has")

    def done(self, parameter: Parameter, facts: Facts) -> Done:
        """Return what happens at the end of a path: a writer is called."""
        module = SEARCH_TYPES[parameter.type]
        bound = self.variable(parameter)

        def finish(place: Place, indent: str) -> None:
            if place.type == "Extension":
                self.walk((Member("value"),), place, indent, finish)
                return
            writer = module.WRITERS.get(place.parent) or module.WRITERS.get(self.kind(place))
            if writer is None:
                return
            facts.types.add(self.kind(place))
            facts.single &= not place.repeats
            facts.targets.update((place.element and place.element.targets) or ("Resource",))
            facts.bindings.update(self.bindings(place))
            self.ends += 1
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
                    if not whole and path[0] != Root(""):
                        self.refuse("a component's path starts at the element or at %resource")
                    done = self.gather(name, component.type, types, facts.bindings)
                    self.follow(path, start, indent, done, component.type)
            self.emit(indent, f"if {' and '.join(lists)}:")
            self.emit(indent + _INDENT, f"{pair}(rows, {bound}, [{', '.join(lists)}])")

        return finish

    def gather(self, name: str, kind: str, types: set[str], bindings: set[str]) -> Done:
        """Return what happens at the end of a component's path: type and value are kept."""
        indexed = SEARCH_TYPES[kind].WRITERS

        def finish(place: Place, indent: str) -> None:
            types.add(self.kind(place))
            bindings.update(self.bindings(place))
            self.ends += place.type in indexed
            self.emit(indent, f"{name}.append(({self.kind(place)!r}, {place.variable}))")

        return finish

    def kind(self, place: Place) -> str:
        """Return the element type by which a value is indexed; codes of no known system apart."""
        if place.type != "code" or self.bindings(place):
            return place.type
        binding = place.element.binding if place.element else None
        return loose(binding.value_set if binding else None)

    def bindings(self, place: Place) -> set[str]:
        """Return the value set that a code must be of, if its systems are known."""
        binding = place.element.binding if place.element else None
        if place.type != "code" or binding is None or binding.value_set not in self.code_systems:
            return set()
        return {binding.value_set}

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
            case Index():  # behind the name of an element it is read by `child`
                self.refuse("the number of an element stands behind its name")
                self.walk(rest, place, indent, done)
            case Happened():
                raise AssertionError("read by `member`")
            case _:
                self.filter(step, rest, place, indent, done)

    def filter(
        self, step: Step, rest: Sequence[Step], place: Place, indent: str, done: Done
    ) -> None:
        """Add a test of the element, or a loop over its extensions."""
        variable = place.variable
        if variable == "r":
            self.reads.add(_WHOLE)
        if not self.holds(step, place):
            self.refuse("a filter asks for what its element does not have")
            return
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

    def holds(self, step: Step, place: Place) -> bool:
        """Return whether the element has what the filter looks at; a primitive has nothing."""
        match step:
            case Where(member):
                found = self.elements.get(place.type, {}).get(member)
                return found is not None and found.max == 1 and found.type not in self.elements
            case Resolves():
                return place.type == "Reference"
            case _:
                return place.type in self.elements

    def member(
        self, name: str, rest: Sequence[Step], place: Place, indent: str, done: Done
    ) -> None:
        """Add the reading of a member, in each type that a choice may have."""
        children = self.elements.get(place.type, {})
        named = [children[name]] if name in children else _choices(children, name)
        if not named:
            self.refuse(f"{place.type} has no element {name}")
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
        name, type_name = element.name, element.type
        if rest and isinstance(rest[0], Extension) and type_name not in self.elements:
            # The extensions of a primitive stand beside it (json.html#primitive).
            name, type_name = f"_{name}", "Element"
        variable = self.member_of(place, name, indent)
        self.emit(indent, f"if {variable} is not None:")
        indent += _INDENT
        repeats = element.max != 1
        number = rest[0].place if rest and isinstance(rest[0], Index) else None
        if number is not None:
            rest = rest[1:]
            if place.repeats or (number and not repeats):
                self.refuse("the number of an element that is not one list")
        if repeats:
            items, variable = variable, self.variable()
            piece = "" if number is None else f"[{number} : {number + 1}]"
            self.emit(indent, f"for {variable} in {items}{piece}:")
            self.emit(indent + _INDENT, f"if {variable} is not None:")
            indent += _INDENT * 2
        inner = Place(
            variable,
            type_name,
            f"{place.type}.{element.name}",
            element,
            place.repeats or (repeats and number is None),
        )
        self.walk(rest, inner, indent, done)
        self.emit(indent, "pass")

    def member_of(self, place: Place, name: str, indent: str) -> str:
        """Return the variable that holds a member; those of the resource are read once."""
        if place.variable == "r":
            self.reads.add(name)
            return self.read.setdefault(name, f"r{len(self.read)}")
        variable = self.variable()
        self.emit(indent, f"{variable} = {place.variable}.get({name!r})")
        return variable

    def happened(self, names: list[str], place: Place, indent: str, done: Done) -> None:
        """Add the boolean: some member exists and none of them is `false`."""
        variable = self.variable()
        if place.variable == "r":
            self.reads.add(_WHOLE)
        tests = " or ".join(f"{place.variable}.get({n!r}, False) is not False" for n in names)
        self.emit(indent, f"{variable} = {tests}")
        done(Place(variable, "boolean", repeats=place.repeats), indent)


@lru_cache(maxsize=4096)
def alone(definitions: Definitions, parameter: Parameter) -> tuple[Write, Facts]:
    """Return one parameter compiled by itself, strictly; ExpressionError says why it cannot."""
    compiler = Compiler(definitions, parameter.base, strict=True)
    compiler.add(parameter)
    return compiler.function(), compiler.facts[parameter.code]


def _choices(children: Mapping[str, Element], name: str) -> list[Element]:
    """Return the members that the choice element `name[x]` has become."""
    return [element for element in children.values() if element.choice == name]
