"""FHIRPath as far as search parameters use it, evaluated step by step.

http://hl7.org/fhirpath/N1/
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from .definitions import Json, Package

TOKEN = re.compile(r"\s*('[^']*'|%?[A-Za-z_]\w*|\d+|!=|[.()\[\]|=,])")
REFERENCE = re.compile(r"(?:https?://.+/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(/_history/.+)?")


@dataclass(frozen=True, eq=False)
class Node:
    """A value with its type, the element that it is of, and the resource that it is in."""

    type: str
    value: Any
    resource: Json
    path: str = ""
    value_set: str | None = None


Nodes = list[Node]
Step = Callable[[Package, Nodes], Nodes]


def evaluate(package: Package, expression: str, start: Node) -> Nodes:
    """Return the nodes that the expression selects from `start`."""
    return parse(expression)(package, [start])


@cache
def parse(expression: str) -> Step:
    """Return the expression as a function of the nodes that it starts from."""
    tokens = TOKEN.findall(expression)
    assert "".join(tokens) == re.sub(r"\s+(?=([^']*'[^']*')*[^']*$)", "", expression), expression
    reader = Reader(tokens)
    found = reader.conjunction()
    assert not reader.tokens, expression
    return found


class Reader:
    """Recursive descent over the tokens, loosest operator first."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def peek(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self, expected: str | None = None) -> str:
        token = self.tokens.pop(0)
        assert expected in (None, token), (expected, token)
        return token

    def conjunction(self) -> Step:
        left = self.equality()
        while self.peek() == "and":
            self.take()
            left = _and(left, self.equality())
        return left

    def equality(self) -> Step:
        left = self.union()
        if self.peek() in ("=", "!="):
            operator = self.take()
            return _equal(left, self.union(), negated=operator == "!=")
        return left

    def union(self) -> Step:
        left = self.typed()
        while self.peek() == "|":
            self.take()
            left = _union(left, self.typed())
        return left

    def typed(self) -> Step:
        left = self.path()
        while self.peek() in ("is", "as"):
            operator, name = self.take(), self.take()
            left = _then(left, _is(name) if operator == "is" else _as(name))
        return left

    def path(self) -> Step:
        found = self.primary()
        while self.peek() in (".", "["):
            if self.take() == "[":
                found = _then(found, _index(int(self.take())))
                self.take("]")
            else:
                found = _then(found, self.invocation())
        return found

    def primary(self) -> Step:
        token = self.peek()
        if token == "(":
            self.take()
            found = self.conjunction()
            self.take(")")
            return found
        if token.startswith("'") or token in ("true", "false"):
            self.take()
            value = token[1:-1] if token.startswith("'") else token == "true"
            return lambda _, nodes: [Node("", value, node.resource) for node in nodes[:1]]
        if token == "%resource":
            self.take()
            return lambda _, nodes: [_whole(node.resource) for node in nodes[:1]]
        if token[0].isupper():
            return _root(self.take())
        return self.invocation()

    def invocation(self) -> Step:
        name = self.take()
        if self.peek() != "(":
            return _member(name)
        self.take("(")
        if name in ("as", "is", "ofType"):
            argument = self.take()
            self.take(")")
            return _is(argument) if name == "is" else _as(argument)
        inner = None if self.peek() == ")" else self.conjunction()
        self.take(")")
        return _function(name, inner)


def _whole(resource: Json) -> Node:
    return Node(resource["resourceType"], resource, resource)


def _then(left: Step, right: Step) -> Step:
    return lambda package, nodes: right(package, left(package, nodes))


def _union(left: Step, right: Step) -> Step:
    return lambda package, nodes: left(package, nodes) + right(package, nodes)


def _and(left: Step, right: Step) -> Step:
    def both(package: Package, nodes: Nodes) -> Nodes:
        return _boolean(nodes, _true(left(package, nodes)) and _true(right(package, nodes)))

    return both


def _equal(left: Step, right: Step, *, negated: bool) -> Step:
    def compare(package: Package, nodes: Nodes) -> Nodes:
        one = [(type(n.value), n.value) for n in left(package, nodes)]
        other = [(type(n.value), n.value) for n in right(package, nodes)]
        if not one or not other:
            return []
        return _boolean(nodes, (one == other) is not negated)

    return compare


def _boolean(nodes: Nodes, value: bool) -> Nodes:  # noqa: FBT001  (the value itself)
    return [Node("boolean", value, nodes[0].resource)] if nodes else []


def _true(nodes: Nodes) -> bool:
    return [node.value for node in nodes] == [True]


def _root(name: str) -> Step:
    return lambda _, nodes: [n for n in nodes if name in (n.type, "Resource", "DomainResource")]


def _is(name: str) -> Step:
    return lambda _, nodes: [Node("boolean", _same(n, name), n.resource) for n in nodes]


def _as(name: str) -> Step:
    return lambda _, nodes: [n for n in nodes if _same(n, name)]


def _same(node: Node, name: str) -> bool:
    # The package also writes DateTime for dateTime.
    return node.type.lower() == name.lower()


def _index(place: int) -> Step:
    return lambda _, nodes: nodes[place : place + 1]


def _member(name: str) -> Step:
    def children(package: Package, nodes: Nodes) -> Nodes:
        return [child for node in nodes for child in members(package, node, name)]

    return children


def members(package: Package, node: Node, name: str) -> Nodes:
    """Return the children of a name; of a choice element in whichever type it has."""
    found = []
    for member in package.members.get(node.type, {}).get(name, ()):
        value = node.value.get(member.json)
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                kind = item["resourceType"] if member.type == "Resource" else member.type
                found.append(Node(kind, item, node.resource, member.path, member.value_set))
    return found


def _function(name: str, inner: Step | None) -> Step:
    match name:
        case "exists":
            return lambda _, nodes: [Node("boolean", bool(nodes), {})]
        case "resolve":
            return _resolve
    assert inner is not None
    match name:
        case "where":
            return lambda package, nodes: [n for n in nodes if _true(inner(package, [n]))]
        case "extension":
            return lambda package, nodes: [
                e
                for node in nodes
                for e in members(package, node, "extension")
                if e.value["url"] == inner(package, [node])[0].value
            ]
        case "hasExtension":
            found = _function("extension", inner)
            return lambda package, nodes: _boolean(nodes, bool(found(package, nodes)))
    raise AssertionError(name)


def _resolve(_: Package, nodes: Nodes) -> Nodes:
    """Return a node of the type that a reference leads to, as far as the resource tells."""
    return [Node(target(n) or "", None, n.resource) for n in nodes]


def target(node: Node) -> str | None:
    """Return the type that a Reference leads to: by its text, contained resource or type."""
    text = node.value.get("reference", "")
    if text.startswith("#"):
        inside = [c for c in node.resource.get("contained", ()) if c.get("id") == text[1:]]
        return inside[0]["resourceType"] if inside else None
    found = REFERENCE.fullmatch(text)
    return found[1] if found else node.value.get("type")
