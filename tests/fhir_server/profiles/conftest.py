"""Profiles of a few elements, and what comes of judging by them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from fhir_server.errors import Issue
from fhir_server.profiles.judging import Surroundings, validate_profiles
from fhir_server.profiles.profiles import Profiles
from fhir_server.r4.definitions import load

URL = "http://example.org/StructureDefinition/"
Json = dict[str, Any]


@dataclass
class World:
    """Surroundings made of what a test gives: definitions, value sets, resources."""

    definitions: dict[str, Json] = field(default_factory=dict)
    codes: dict[str, set[tuple[str | None, str]]] = field(default_factory=dict)
    resources: dict[str, Json] = field(default_factory=dict)

    def definition(self, canonical: str) -> Mapping[str, Any] | None:
        return self.definitions.get(canonical)

    def member(self, value_set: str, system: str | None, code: str) -> bool | None:
        known = self.codes.get(value_set)
        return None if known is None else (system, code) in known

    def resource(self, reference: str) -> Mapping[str, Any] | None:
        return self.resources.get(reference)

    def profile(self, name: str, kind: str, *elements: Json, **more: Any) -> str:
        """Define a profile by its differential; return its URL."""
        self.definitions[URL + name] = {
            "resourceType": "StructureDefinition",
            "url": URL + name,
            "name": name,
            "kind": "resource",
            "abstract": False,
            "type": kind,
            "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{kind}",
            "derivation": "constraint",
            "differential": {"element": list(elements)},
            **more,
        }
        return URL + name


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def core() -> Profiles:
    return Profiles(load())


Judge = Callable[..., list[tuple[str, str | None]]]


@pytest.fixture
def issues(world: World, core: Profiles) -> Callable[..., list[Issue]]:
    def judge(data: Json, *canonicals: str, **more: Any) -> list[Issue]:
        profiles = core.seen_through(world)
        return validate_profiles(profiles, data, canonicals, Surroundings(world, world, **more))

    return judge


@pytest.fixture
def errors(issues: Callable[..., list[Issue]]) -> Judge:
    """What judging finds: the code and place of each error."""

    def judge(data: Json, *canonicals: str, **more: Any) -> list[tuple[str, str | None]]:
        found = issues(data, *canonicals, **more)
        return [(one.code, one.expression) for one in found if one.severity == "error"]

    return judge
