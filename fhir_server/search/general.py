"""Search parameter expressions that need the FHIRPath engine.

Paths with simple filters become Python functions (`expression.py`); what their parser does
not read is run by the engine, if it can be told before which types of values it gives.

https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression
"""

from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

from fhir_server.errors import SangamError
from fhir_server.fhirpath.engine import compile_expression
from fhir_server.fhirpath.model import Model, model
from fhir_server.fhirpath.parser import parse as parse_tree
from fhir_server.fhirpath.syntax import (
    Binary,
    Call,
    Indexer,
    Literal,
    Member,
    Tree,
    TypeTest,
    Unary,
)
from fhir_server.fhirpath.values import Item, Node
from fhir_server.r4.definitions import Definitions, Element
from fhir_server.search import expression as simple
from fhir_server.search.expression import ABSTRACT, Facts, Write
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import ExpressionError, parse
from fhir_server.search.rows import Rows
from fhir_server.search.searchtype import SEARCH_TYPES
from fhir_server.search.token import loose

_FILTERS: Final = frozenset(
    ("where", "first", "last", "tail", "skip", "take", "single", "distinct", "exclude", "trace")
)
_GIVEN: Final = {
    **dict.fromkeys(
        ("exists", "empty", "not", "all", "hasValue", "startsWith", "endsWith", "contains"),
        "boolean",
    ),
    **dict.fromkeys(("matches", "is", "isDistinct", "allTrue", "anyTrue"), "boolean"),
    **dict.fromkeys(
        ("toString", "substring", "upper", "lower", "replace", "replaceMatches", "trim", "join"),
        "string",
    ),
    **dict.fromkeys(("count", "length", "toInteger"), "integer"),
    "toDecimal": "decimal",
}
_LOGIC: Final = frozenset(
    ("=", "!=", "~", "!~", "<", "<=", ">", ">=", "and", "or", "xor", "implies", "in", "contains")
)
_SYSTEM: Final = {bool: "boolean", int: "integer", Decimal: "decimal", str: "string"}


class _Typed(NamedTuple):
    """A type that an expression gives, and the element it stands in, if it is one."""

    name: str
    element: Element | None = None


_Types = frozenset[_Typed]


@lru_cache(maxsize=4096)
def alone(definitions: Definitions, parameter: Parameter) -> tuple[Write, Facts]:
    """Return one parameter compiled by itself, strictly; ExpressionError says why it cannot."""
    try:
        parse(parameter.expression)
    except ExpressionError as refused:
        if parameter.type == "composite":
            raise
        return _by_engine(definitions, parameter, refused)
    return simple.alone(definitions, parameter)


def _by_engine(
    definitions: Definitions, parameter: Parameter, refused: ExpressionError
) -> tuple[Write, Facts]:
    try:
        tree = parse_tree(parameter.expression)
        expression = compile_expression(definitions, parameter.expression)
    except SangamError:
        raise refused from None
    known = _Typing(definitions, parameter.base).of(tree)
    module, kinds, facts = SEARCH_TYPES[parameter.type], _Kinds(definitions), Facts(single=False)
    writers = {}
    for typed in known:
        kind = kinds.of(typed)
        if kind in module.WRITERS:
            writers[typed.name] = module.WRITERS[kind]
            facts.types.add(kind)
            facts.bindings |= kinds.bindings(typed)
            facts.targets.update((typed.element and typed.element.targets) or ("Resource",))
    if not writers:
        base, kind = parameter.base, parameter.type
        text = f"it leads to no value that a {kind} parameter of {base} has"
        raise ExpressionError(text)

    def write(resource: dict[str, Any], rows: Rows) -> None:
        try:
            found = expression.run(Node(parameter.base, resource))
        except SangamError:
            # What cannot be evaluated has no value; the write is not to fail for it.
            return
        for item in found:
            name, value = _value(item)
            if value is not None and name in writers:
                writers[name](rows, parameter, value)

    return write, facts


def _value(item: Item) -> tuple[str, Any]:
    if type(item) is Node:
        return item.type, item.value
    return _SYSTEM.get(type(item), ""), item


class _Kinds:
    """The element types by which values are indexed."""

    def __init__(self, definitions: Definitions) -> None:
        self.code_systems = definitions.code_systems

    def bindings(self, typed: _Typed) -> set[str]:
        binding = typed.element.binding if typed.element else None
        known = typed.name == "code" and binding and binding.value_set in self.code_systems
        return {binding.value_set} if known and binding else set()

    def of(self, typed: _Typed) -> str:
        if typed.name != "code" or self.bindings(typed):
            return typed.name
        binding = typed.element.binding if typed.element else None
        return loose(binding.value_set if binding else None)


class _Typing:
    """The types that an expression gives on resources of the type `base`."""

    def __init__(self, definitions: Definitions, base: str) -> None:
        self.elements = definitions.elements
        self.model: Model = model(definitions)
        self.base = base

    def of(self, tree: Tree, context: _Types | None = None) -> _Types:  # noqa: PLR0911  (one for each form)
        """Return the types; ExpressionError where they cannot be told."""
        context = context if context is not None else frozenset((_Typed(self.base),))
        match tree:
            case Member(None, name):
                return self.beginning(name, context)
            case Member(source, name) if source is not None:
                return self.step(self.of(source, context), name)
            case Call():
                return self.call(tree, context)
            case Indexer(source, _):
                return self.of(source, context)
            case Binary("|", left, right):
                return self.of(left, context) | self.of(right, context)
            case Binary(operator, _, _):
                return _only(_operator(operator))
            case TypeTest("as", operand, type_name):
                return _of_type(self.of(operand, context), type_name[-1])
            case TypeTest():
                return _only("boolean")
        raise ExpressionError(_untold(tree))

    def beginning(self, name: str, context: _Types) -> _Types:
        if context == {_Typed(self.base)}:
            if name in (self.base, *ABSTRACT):
                return context
            if name in self.model.resources:
                return frozenset()
        return self.step(context, name)

    def step(self, types: _Types, name: str) -> _Types:
        found = {
            _Typed(field.type, self.elements.get(typed.name, {}).get(field.name))
            for typed in types
            for field in self.model.fields.get(typed.name, {}).get(name, ())
        }
        if types and not found:
            owners = ", ".join(sorted({typed.name for typed in types}))
            raise ExpressionError(f"{owners} has no element {name}")
        return frozenset(found)

    def call(self, tree: Call, context: _Types) -> _Types:
        source = context if tree.source is None else self.of(tree.source, context)
        if tree.name in _FILTERS:
            return source
        if tree.name in {"ofType", "as"} and isinstance(tree.arguments[0], Member):
            return _of_type(source, tree.arguments[0].name)
        if tree.name == "extension":
            return self.step(source, "extension")
        if tree.name == "select":
            return self.of(tree.arguments[0], source)
        if tree.name in _GIVEN:
            return _only(_GIVEN[tree.name])
        raise ExpressionError(f"of what type the result of {tree.name} is cannot be told")


def _only(name: str) -> _Types:
    return frozenset((_Typed(name),))


def _of_type(types: Iterable[_Typed], name: str) -> _Types:
    return frozenset(one for one in types if one.name == name)


def _operator(operator: str) -> str:
    if operator in _LOGIC:
        return "boolean"
    if operator == "&":
        return "string"
    raise ExpressionError(f"of what type the result of {operator} is cannot be told")


def _untold(tree: Tree) -> str:
    what = "a constant" if isinstance(tree, Literal | Unary) else "a variable"
    return f"{what} is no value of the resource"
