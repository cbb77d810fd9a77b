"""Whole queries: names, alternatives, modifiers, composites, chains and `_has`."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from . import date, number, quantity, reference, string, token, uri
from .definitions import Json, Package, Parameter
from .escaping import split
from .fhirpath import Node, evaluate, members

Pairs = list[tuple[str, str]]
Predicate = Callable[[Any], bool]


class AmbiguousError(Exception):
    """A bare id that exists in several of the types that the parameter allows."""


@dataclass
class Corpus:
    """All resources by type and id, at a server with this base URL."""

    package: Package = field(repr=False)
    base: str
    resources: dict[str, dict[str, Json]] = field(repr=False)
    now: Fraction = Fraction(0)
    outer: "Corpus | None" = field(default=None, repr=False)
    kept: dict[tuple[str, str], dict[str, list[Any]]] = field(default_factory=dict, repr=False)
    nodes: dict[tuple[str, str], dict[str, list[Node]]] = field(default_factory=dict, repr=False)

    def find(self, type_name: str, pairs: Iterable[tuple[str, str]]) -> set[str]:
        """Return the ids of the resources of a type that meet each (name, value)."""
        found = set(self.resources.get(type_name, {}))
        for name, value in pairs:
            found &= self.meet(type_name, name, value)
        return found

    def meet(self, type_name: str, name: str, value: str) -> set[str]:
        """Return the ids of those that meet one parameter."""
        if name.startswith("_has:"):
            return self._referred(type_name, name, value) if self.outer is None else set()
        if "." in name:
            return self._linked(type_name, name, value)
        code, _, modifier = name.partition(":")
        everything = set(self.resources.get(type_name, {}))
        if code == "_id":
            return everything & set(value.split(","))
        parameter = self.package.parameters[type_name][code]
        stored = self.values(parameter)
        if modifier == "missing":
            valued = {id_ for id_, values in stored.items() if values}
            return valued if value == "false" else everything - valued
        inner = "" if modifier == "not" else modifier
        tests = [self._predicate(parameter, one, inner) for one in split(value, ",")]
        found = {
            id_ for id_, values in stored.items() if any(test(v) for v in values for test in tests)
        }
        return everything - found if modifier == "not" else found

    def values(self, parameter: Parameter) -> dict[str, list[Any]]:
        """Return the values of a parameter by the id of the resource."""
        place = parameter.base, parameter.code
        if place not in self.kept:
            of = self._elements if parameter.type == "composite" else self._values
            self.kept[place] = {
                id_: of(parameter, resource)
                for id_, resource in self.resources.get(parameter.base, {}).items()
            }
        return self.kept[place]

    def selected(self, parameter: Parameter) -> dict[str, list[Node]]:
        """Return the elements that a parameter's expression selects, by id."""
        place = parameter.base, parameter.code
        if place not in self.nodes:
            self.nodes[place] = {
                id_: self._select(parameter.expression, _root(resource))
                for id_, resource in self.resources.get(parameter.base, {}).items()
            }
        return self.nodes[place]

    def _select(self, expression: str, start: Node) -> list[Node]:
        found = []
        for node in evaluate(self.package, expression, start):
            # A parameter that ends on an extension means its value.
            whole = node.type == "Extension"
            found += members(self.package, node, "value") if whole else [node]
        return found

    def _values(self, parameter: Parameter, resource: Json) -> list[Any]:
        nodes = self._select(parameter.expression, _root(resource))
        return [value for node in nodes for value in self.indexed(parameter.type, node)]

    def indexed(self, kind: str, node: Node) -> list[Any]:
        """Return what one element is searched by."""
        match kind:
            case "token":
                return token.values(self.package, node)
            case "reference":
                return reference.values(self.package, node, self.base)
        simple = {"string": string, "date": date, "number": number, "quantity": quantity}
        module = simple.get(kind, uri)
        found: list[Any] = module.values(node)
        return found

    def _elements(self, parameter: Parameter, resource: Json) -> list[Any]:
        """Return for each element of a composite the values of each component."""
        found = []
        for element in self._select(parameter.expression, _root(resource)):
            parts = []
            for part in parameter.components:
                nodes = self._select(part.expression, element)
                parts.append([value for node in nodes for value in self.indexed(part.type, node)])
            found.append(parts)
        return found

    def _predicate(self, parameter: Parameter, text: str, modifier: str) -> Predicate:
        if parameter.type != "composite":
            return self._simple(parameter, text, modifier)
        texts = split(text, "$")
        tests = [
            self._simple(part, one, "")
            for part, one in zip(parameter.components, texts, strict=True)
        ]
        return lambda parts: all(
            any(test(value) for value in values) for test, values in zip(tests, parts, strict=True)
        )

    def _simple(self, parameter: Parameter, text: str, modifier: str) -> Predicate:
        simple: dict[str, Callable[[], Predicate]] = {
            "string": lambda: string.predicate(text, modifier),
            "token": lambda: token.predicate(self.package, text, modifier),
            "date": lambda: date.predicate(text, self.whole.now),
            "number": lambda: number.predicate(text),
            "quantity": lambda: quantity.predicate(text),
            "uri": lambda: uri.predicate(text, modifier),
        }
        if parameter.type in simple:
            return simple[parameter.type]()
        targets = self.targets(parameter)
        if not modifier and reference.ID.fullmatch(text):
            targets = self._meant(text, targets)
        return reference.predicate(self.package, text, modifier, self.base, targets)

    def targets(self, parameter: Parameter) -> set[str]:
        """Return the types that a reference may lead to, as far as the expression says."""
        pieces = [p for p in parameter.expression.split("|") if f"{parameter.base}." in p]
        resolved = [re.findall(r"resolve\(\) is (\w+)", piece) for piece in pieces]
        if pieces and all(resolved):
            return {name for names in resolved for name in names}
        return set(parameter.target) - {"Resource"} or self.package.resource_types

    def _meant(self, id_: str, targets: set[str]) -> set[str]:
        """Return the type of the one resource that a bare id means; any if it is nowhere."""
        homes = {name for name in targets if id_ in self.whole.resources.get(name, {})}
        if len(homes) > 1:
            raise AmbiguousError
        return homes or targets

    def _linked(self, type_name: str, name: str, value: str) -> set[str]:
        """Return those with a reference to a resource that meets the rest of a chain.

        It may be a resource of its own, or one that is contained beside the reference.
        """
        head, _, rest = name.partition(".")
        code, _, named = head.partition(":")
        parameter = self.package.parameters[type_name][code]
        next_code = re.split(r"[.:]", rest)[0]
        met: set[str] = set()
        for target in {named} if named else self.targets(parameter):
            if rest.startswith("_has:") or next_code in self.package.parameters[target]:
                met |= {f"{target}/{id_}" for id_ in self.whole.meet(target, rest, value)}
                met |= self.contained.meet(target, rest, value)
        return {
            id_
            for id_, values in self.values(parameter).items()
            if any(self._place(type_name, id_, one) in met for one in values)
        }

    def _place(self, type_name: str, id_: str, value: reference.Value) -> str | None:
        """Return `type/id` of where a reference leads, `type/id#name` if that is contained."""
        if value.literal is None:
            own = f"{type_name}/{id_}" if self.outer is None else id_.partition("#")[0]
            return f"{own}{value.text}"
        return f"{value.literal.type}/{value.literal.id}" if self.whole.leads(value) else None

    @property
    def whole(self) -> "Corpus":
        """Return the corpus of the resources that are not contained."""
        return self.outer or self

    @cached_property
    def contained(self) -> "Corpus":
        """Return the contained resources as a corpus; their ids are `type/id#name`."""
        if self.outer is not None:
            return self
        inside: dict[str, dict[str, Json]] = {}
        for type_name, some in self.resources.items():
            for id_, resource in some.items():
                for one in resource.get("contained", ()):
                    place = f"{type_name}/{id_}#{one.get('id')}"
                    beside = {**one, "contained": resource["contained"]}
                    inside.setdefault(one["resourceType"], {})[place] = beside
        return Corpus(self.package, self.base, inside, self.now, outer=self)

    def leads(self, value: reference.Value) -> bool:
        """Return whether a reference leads to a resource that is stored here."""
        at = value.literal
        return at is not None and at.base is None and at.id in self.resources.get(at.type, {})

    def _referred(self, type_name: str, name: str, value: str) -> set[str]:
        """Return those to which a reference leads from a resource that meets the rest."""
        _, source, code, rest = name.split(":", 3)
        matching = self.meet(source, rest, value)
        stored = self.values(self.package.parameters[source][code])
        return {
            one.literal.id
            for id_ in matching
            for one in stored[id_]
            if self.leads(one) and one.literal.type == type_name
        }


def _root(resource: Json) -> Node:
    return Node(resource["resourceType"], resource, resource)
