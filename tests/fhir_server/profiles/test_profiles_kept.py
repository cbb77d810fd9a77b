"""Profiles are compiled once for what their definitions say."""

from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.profiles import profiles as module
from fhir_server.profiles.profiles import Profiles
from fhir_server.profiles.seams import Json
from fhir_server.profiles.tree import Tree
from fhir_server.r4.definitions import load
from tests.fhir_server.profiles.conftest import URL, World


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the definitions of which a snapshot was made, in their order."""
    names: list[str] = []
    snapshot = module.snapshot

    def counted(definition: Json, find: Callable[[str], Json | None]) -> Tree:
        names.append(definition["name"])
        return snapshot(definition, find)

    monkeypatch.setattr(module, "snapshot", counted)
    return names


def test_a_profile_without_a_base_is_tried_once_until_the_base_is_there(
    world: World, made: list[str]
) -> None:
    more: dict[str, Any] = {"baseDefinition": f"{URL}base"}
    url = world.profile("one", "Patient", {"id": "Patient", "path": "Patient"}, **more)
    profiles = Profiles(load(), world)
    assert [profiles.get(url), profiles.get(url)] == [None, None]
    assert made == ["one"]
    world.profile("base", "Patient", {"id": "Patient", "path": "Patient"})
    found = profiles.get(url)
    assert found is not None
    assert profiles.get(url) is found
    assert made == ["one", "one"]
