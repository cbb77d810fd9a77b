"""Python closures from the tree of an expression.

https://hl7.org/fhirpath/N1/#expressions
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from fhir_server.fhirpath import additions, collections, conversion, maths, strings
from fhir_server.fhirpath.collections import LAMBDAS, Closure, Function
from fhir_server.fhirpath.evaluation import Evaluation
from fhir_server.fhirpath.model import SYSTEM, Model
from fhir_server.fhirpath.operators import OPERATORS
from fhir_server.fhirpath.quantity import Quantity
from fhir_server.fhirpath.refusal import Misuse, misread
from fhir_server.fhirpath.syntax import (
    Binary,
    Call,
    Indexer,
    Literal,
    Member,
    Special,
    Tree,
    TypeTest,
    Unary,
    Variable,
)
from fhir_server.fhirpath.values import (
    EMPTY,
    FALSE,
    TRUE,
    Item,
    Items,
    Node,
    boolean,
    follow,
    integer,
    single,
    truth,
    type_of,
)

FUNCTIONS: Final[Mapping[str, tuple[Function, int, int]]] = {
    **collections.FUNCTIONS,
    **strings.FUNCTIONS,
    **conversion.FUNCTIONS,
    **maths.FUNCTIONS,
    **additions.FUNCTIONS,
}
_TYPE_FUNCTIONS: Final = frozenset(("is", "as", "ofType"))
_UNORDERED: Final = frozenset(("children", "descendants"))
_ORDERED: Final = frozenset(("first", "last", "tail", "skip", "take"))
_URLS: Final = {
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
    "ucum": "http://unitsofmeasure.org",
}
_FAMILIES: Final = {
    "vs-": "http://hl7.org/fhir/ValueSet/",
    "ext-": "http://hl7.org/fhir/StructureDefinition/",
}


def compiled(model: Model, tree: Tree, *, strict: bool = False) -> Closure:
    """Return the tree made ready to run.

    `strict` refuses members that a type has not, and order where there is none.
    BadRequest for an unknown function, a wrong number of arguments or an
    unknown type, naming the place.
    """
    return _Compiler(model, strict=strict).closure(tree)


class _Compiler:
    def __init__(self, model: Model, *, strict: bool) -> None:
        self.model = model
        self.strict = strict

    def closure(self, tree: Tree) -> Closure:
        return _MAKERS[type(tree)](self, tree)

    def literal(self, tree: Literal) -> Closure:
        constant = EMPTY if tree.value is None else [tree.value]
        return lambda _, __: constant

    def special(self, tree: Special) -> Closure:
        if tree.name == "$this":
            return lambda _, this: this
        if tree.name == "$index":
            return lambda run, _: [run.index]
        return lambda run, _: run.total

    def variable(self, tree: Variable) -> Closure:
        name, at = tree.name, tree.at
        url = _URLS.get(name) or next(
            (
                base + name.removeprefix(key)
                for key, base in _FAMILIES.items()
                if name.startswith(key)
            ),
            None,
        )
        if url is not None:
            constant = [url]
            return lambda _, __: constant
        if name in _ENVIRONMENT:
            return _ENVIRONMENT[name]

        def value(run: Evaluation, _: Items) -> Items:
            found = run.variables.get(name)
            if found is None:
                raise misread("no such variable", at)
            return found

        return value

    def member(self, tree: Member) -> Closure:
        name = tree.name
        if tree.source is None:
            return self.beginning(tree)
        source, strict, at = self.closure(tree.source), self.strict, tree.at
        self.refuse_lost_member(tree)

        def step(run: Evaluation, this: Items) -> Items:
            found: Items = []
            for item in source(run, this):
                known = type(item) is Node and follow(run.model, item, name, found)
                if strict and not known:
                    raise misread("the type has no such member", at)
            run.spend(len(found) + 1)
            return found

        return step

    def refuse_lost_member(self, tree: Member) -> None:
        source = tree.source
        if not self.strict or type(source) is not TypeTest or source.operator != "as":
            return
        members = self.model.fields.get(source.type[-1])
        if members is not None and tree.name not in members:
            raise misread("the type has no such member", tree.at)

    def beginning(self, tree: Member) -> Closure:
        """Return a first step: a member of `$this`, or the type that it is of."""
        name, strict, at = tree.name, self.strict, tree.at
        is_type = self.model.knows(name) and name[0].isupper()

        def step(run: Evaluation, this: Items) -> Items:
            found: Items = []
            for item in this:
                if type(item) is not Node:
                    continue
                if is_type and run.model.is_a(item.type, name):
                    found.append(item)
                elif not follow(run.model, item, name, found) and strict:
                    raise misread("the type has no such member", at)
            run.spend(len(found) + 1)
            return found

        return step

    def call(self, tree: Call) -> Closure:
        name = tree.name
        source = self.closure(tree.source) if tree.source is not None else _this
        if name in _TYPE_FUNCTIONS:
            return self.type_function(tree, source)
        table = LAMBDAS if name in LAMBDAS else FUNCTIONS
        if name not in table:
            raise misread("there is no such function", tree.at)
        function, least, most = table[name]
        if not least <= len(tree.arguments) <= most:
            raise misread("the function takes another number of arguments", tree.at)
        if self.strict and name in _ORDERED:
            self.refuse_no_order(tree)
        if name == "sort":
            return _lambda_call(function, source, self.sort_keys(tree), tree.at)
        arguments = [self.closure(argument) for argument in tree.arguments]
        if name in LAMBDAS:
            return _lambda_call(function, source, arguments, tree.at)
        return _call(function, source, arguments, tree.at)

    def refuse_no_order(self, tree: Call) -> None:
        if type(tree.source) is Call and tree.source.name in _UNORDERED:
            raise misread("these items have no order", tree.at)

    def sort_keys(self, tree: Call) -> list[Closure]:
        """Return the keys; a minus before one makes it fall."""
        keys: list[Closure] = []
        for argument in tree.arguments:
            falls = type(argument) is Unary and argument.operator == "-"
            inner = argument.operand if type(argument) is Unary and falls else argument
            keys.append(_falling(self.closure(inner)) if falls else self.closure(inner))
        return keys

    def type_function(self, tree: Call, source: Closure) -> Closure:
        if len(tree.arguments) != 1:
            raise misread("the function takes the name of a type", tree.at)
        names = _type_name(tree.arguments[0])
        if names is None:
            raise misread("the function takes the name of a type", tree.at)
        return self.typed(tree.name, source, names, tree.at)

    def type_test(self, tree: TypeTest) -> Closure:
        return self.typed(tree.operator, self.closure(tree.operand), tree.type, tree.at)

    def typed(self, kind: str, source: Closure, names: tuple[str, ...], at: int) -> Closure:
        test = self.tester(names, exact=kind != "is", at=at)
        if kind != "is":

            def keep(run: Evaluation, this: Items) -> Items:
                return [item for item in source(run, this) if test(item)]

            return keep

        def judge(run: Evaluation, this: Items) -> Items:
            items = source(run, this)
            if len(items) > 1:
                raise misread("one item is needed and several are given", at)
            return boolean(test(items[0])) if items else EMPTY

        return judge

    def tester(self, names: tuple[str, ...], *, exact: bool, at: int) -> Callable[[Item], bool]:
        """Return the test of a type; `as` and `ofType` take a primitive only as itself."""
        model, space, name = self.model, names[0] if len(names) > 1 else "", names[-1]
        ours = space in {"", "FHIR"} and model.knows(name)
        systems = space in {"", "System"} and name in SYSTEM
        if not ours and not systems and space != "System":
            raise misread("there is no such type", at)
        alone = exact and name in model.primitives

        def test(item: Item) -> bool:
            if type(item) is not Node:
                return systems and type_of(item)[1] == name
            return ours and (item.type == name if alone else model.is_a(item.type, name))

        return test

    def indexer(self, tree: Indexer) -> Closure:
        source, index, at = self.closure(tree.source), self.closure(tree.index), tree.at

        def pick(run: Evaluation, this: Items) -> Items:
            try:
                number = integer(index(run, this))
            except Misuse as refused:
                raise misread(str(refused), at) from None
            items = source(run, this)
            inside = number is not None and 0 <= number < len(items)
            return [items[number]] if inside and number is not None else EMPTY

        return pick

    def unary(self, tree: Unary) -> Closure:
        operand, sign, at = self.closure(tree.operand), tree.operator, tree.at

        def signed(run: Evaluation, this: Items) -> Items:
            items = operand(run, this)
            try:
                value = single(items)
            except Misuse as refused:
                raise misread(str(refused), at) from None
            if value is None:
                return EMPTY
            if type(value) not in {int, Decimal, Quantity}:
                raise misread("a number is needed", at)
            if sign == "+":
                return [value]
            if type(value) is Quantity:
                return [Quantity(-value.value, value.unit, value.quoted)]
            return [-value]

        return signed

    def binary(self, tree: Binary) -> Closure:
        left, right, at = self.closure(tree.left), self.closure(tree.right), tree.at
        if tree.operator in _LOGIC:
            logic = _LOGIC[tree.operator]

            def decide(run: Evaluation, this: Items) -> Items:
                run.spend(1)
                try:
                    return logic(run, this, left, right)
                except Misuse as refused:
                    raise misread(str(refused), at) from None

            return decide
        operator = OPERATORS[tree.operator]

        def operate(run: Evaluation, this: Items) -> Items:
            run.spend(1)
            try:
                return operator(run, left(run, this), right(run, this))
            except Misuse as refused:
                raise misread(str(refused), at) from None
            except ArithmeticError:
                raise misread("the result is out of range", at) from None

        return operate


_MAKERS: Final[Mapping[type, Callable[..., Closure]]] = {
    Literal: _Compiler.literal,
    Special: _Compiler.special,
    Variable: _Compiler.variable,
    Member: _Compiler.member,
    Call: _Compiler.call,
    Indexer: _Compiler.indexer,
    Unary: _Compiler.unary,
    Binary: _Compiler.binary,
    TypeTest: _Compiler.type_test,
}
_ENVIRONMENT: Final[Mapping[str, Closure]] = {
    "context": lambda run, _: run.context,
    "resource": lambda run, _: [run.resource] if run.resource else EMPTY,
    "rootResource": lambda run, _: [run.root] if run.root else EMPTY,
}


def _this(_: Evaluation, this: Items) -> Items:
    return this


def _falling(closure: Closure) -> Closure:
    def key(run: Evaluation, this: Items) -> Items:
        return closure(run, this)

    key.falling = True  # type: ignore[attr-defined]
    return key


def _type_name(tree: Tree) -> tuple[str, ...] | None:
    if type(tree) is not Member:
        return None
    if tree.source is None:
        return (tree.name,)
    before = _type_name(tree.source)
    return (*before, tree.name) if before else None


def _call(function: Function, source: Closure, arguments: list[Closure], at: int) -> Closure:
    def call(run: Evaluation, this: Items) -> Items:
        run.spend(1)
        items = source(run, this)
        try:
            return function(run, items, *[argument(run, this) for argument in arguments])
        except Misuse as refused:
            raise misread(str(refused), at) from None
        except (ArithmeticError, ValueError):
            raise misread("the result is out of range", at) from None

    return call


def _lambda_call(function: Function, source: Closure, arguments: list[Closure], at: int) -> Closure:
    def call(run: Evaluation, this: Items) -> Items:
        run.spend(1)
        items = source(run, this)
        try:
            return function(run, items, *arguments)
        except Misuse as refused:
            raise misread(str(refused), at) from None

    return call


def _and(run: Evaluation, this: Items, left: Closure, right: Closure) -> Items:
    mine = truth(left(run, this))
    if mine is False:
        return FALSE
    yours = truth(right(run, this))
    if yours is False:
        return FALSE
    return TRUE if mine and yours else EMPTY


def _or(run: Evaluation, this: Items, left: Closure, right: Closure) -> Items:
    mine = truth(left(run, this))
    if mine:
        return TRUE
    yours = truth(right(run, this))
    if yours:
        return TRUE
    return FALSE if mine is False and yours is False else EMPTY


def _xor(run: Evaluation, this: Items, left: Closure, right: Closure) -> Items:
    mine, yours = truth(left(run, this)), truth(right(run, this))
    return EMPTY if mine is None or yours is None else boolean(mine != yours)


def _implies(run: Evaluation, this: Items, left: Closure, right: Closure) -> Items:
    mine = truth(left(run, this))
    if mine is False:
        return TRUE
    yours = truth(right(run, this))
    if yours:
        return TRUE
    return EMPTY if mine is None or yours is None else FALSE


_LOGIC: Final = {"and": _and, "or": _or, "xor": _xor, "implies": _implies}
