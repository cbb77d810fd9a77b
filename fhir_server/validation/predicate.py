"""Invariants of the simplest kind as tests of a JSON object.

Most ask only which members are there, or whether a code is one of a few; a test
of the object takes a tenth of what the engine takes.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fhir_server.fhirpath.model import Field, Model
from fhir_server.fhirpath.syntax import Binary, Call, Literal, Member, Tree

# True, false, or None for empty.
Test = Callable[[dict[str, Any]], bool | None]


class _Unsupported(Exception):
    """This part needs the engine."""


def predicate(model: Model, type_name: str, tree: Tree) -> Test | None:
    """Return the tree as a test of objects of this type; None where it needs the engine.

    The objects are structurally valid.
    """
    try:
        return _test(model, type_name, tree)
    except _Unsupported:
        return None


def _test(model: Model, owner: str, tree: Tree) -> Test:  # noqa: PLR0911  (one for each form)
    match tree:
        case Call(source, ("exists" | "empty") as name, ()) if source is not None:
            return _presence(model, owner, _path(owner, source), there=name == "exists")
        case Call(source, "not", ()) if source is not None:
            return _negation(_test(model, owner, source))
        case Binary(operator, left, right) if operator in _LOGIC:
            return _LOGIC[operator](_test(model, owner, left), _test(model, owner, right))
        case Binary(("=" | "!=") as operator, left, Literal(str(code))):
            return _equality(model, owner, left, code, same=operator == "=")
        case Binary("in", left, right):
            return _membership(model, owner, left, frozenset(_codes(right)))
        case Binary("=", left, Literal(True)):
            return _flag(model, owner, left)
        case Binary(("=" | "!=") as operator, Call() as left, Call() as right):
            return _same(
                _test(model, owner, left), _test(model, owner, right), same=operator == "="
            )
    raise _Unsupported


def _path(owner: str, tree: Tree) -> list[str]:
    match tree:
        case Member(None, name):
            return [] if name == owner else [name]
        case Member(source, name) if source is not None:
            return [*_path(owner, source), name]
    raise _Unsupported


def _fields(model: Model, owner: str, name: str) -> tuple[Field, ...]:
    fields = model.fields.get(owner, {}).get(name)
    if not fields:
        raise _Unsupported
    return fields


def _names(model: Model, owner: str, name: str) -> tuple[str, ...]:
    """Return the names in JSON under which the member may be found."""
    fields = _fields(model, owner, name)
    return tuple(one for field in fields for one in (field.name, field.beside) if one)


def _presence(model: Model, owner: str, path: list[str], *, there: bool) -> Test:
    if not path:
        raise _Unsupported
    *before, last = path
    steps: list[str] = []
    for name in before:
        fields = _fields(model, owner, name)
        if len(fields) > 1 or fields[0].beside or fields[0].type == "Resource":
            raise _Unsupported
        steps.append(fields[0].name)
        owner = fields[0].type
    return _present(steps, _names(model, owner, last), there=there)


def _present(steps: list[str], names: tuple[str, ...], *, there: bool) -> Test:
    if not steps and len(names) == 1:
        only = names[0]
        return (lambda data: only in data) if there else (lambda data: only not in data)
    wanted = frozenset(names)

    def test(data: dict[str, Any]) -> bool:
        objects = [data]
        for step in steps:
            objects = [one for each in objects for one in _listed(each.get(step))]
        return any(not wanted.isdisjoint(one) for one in objects) == there

    return test


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  (JSON)
    if value is None:
        return []
    return value if type(value) is list else [value]


def _member(model: Model, owner: str, tree: Tree) -> str:
    path = _path(owner, tree)
    fields = _fields(model, owner, path[0]) if len(path) == 1 else ()
    if len(fields) != 1 or fields[0].beside is None:
        raise _Unsupported
    return fields[0].name


def _codes(tree: Tree) -> list[str]:
    match tree:
        case Literal(str(code)):
            return [code]
        case Binary("|", left, right):
            return [*_codes(left), *_codes(right)]
    raise _Unsupported


def _equality(model: Model, owner: str, tree: Tree, code: str, *, same: bool) -> Test:
    name, only = _member(model, owner, tree), [code]

    def test(data: dict[str, Any]) -> bool | None:
        value = data.get(name)
        return None if value is None else (value in (code, only)) == same

    return test


def _membership(model: Model, owner: str, tree: Tree, codes: frozenset[str]) -> Test:
    name = _member(model, owner, tree)

    def test(data: dict[str, Any]) -> bool | None:
        value = data.get(name)
        if type(value) is list and len(value) == 1:
            value = value[0]
        return value in codes if type(value) is str else None

    return test


def _flag(model: Model, owner: str, tree: Tree) -> Test:
    name = _member(model, owner, tree)
    return lambda data: data.get(name)


def _same(left: Test, right: Test, *, same: bool) -> Test:
    def test(data: dict[str, Any]) -> bool | None:
        mine, yours = left(data), right(data)
        return None if mine is None or yours is None else (mine == yours) == same

    return test


def _negation(inner: Test) -> Test:
    def test(data: dict[str, Any]) -> bool | None:
        value = inner(data)
        return None if value is None else not value

    return test


def _and(left: Test, right: Test) -> Test:
    def test(data: dict[str, Any]) -> bool | None:
        mine = left(data)
        if mine is False:
            return False
        yours = right(data)
        return False if yours is False else (True if mine and yours else None)

    return test


def _or(left: Test, right: Test) -> Test:
    def test(data: dict[str, Any]) -> bool | None:
        mine = left(data)
        if mine:
            return True
        yours = right(data)
        return True if yours else (None if mine is None or yours is None else False)

    return test


def _implies(left: Test, right: Test) -> Test:
    def test(data: dict[str, Any]) -> bool | None:
        mine = left(data)
        if mine is False:
            return True
        yours = right(data)
        return True if yours else (None if mine is None or yours is None else False)

    return test


def _xor(left: Test, right: Test) -> Test:
    return _same(left, right, same=False)


_LOGIC: Final[Mapping[str, Callable[[Test, Test], Test]]] = {
    "and": _and,
    "or": _or,
    "implies": _implies,
    "xor": _xor,
}
