"""Settings that a profile may say otherwise: each is one of the server's, and reaches mapping."""

import dataclasses
from typing import Any, get_args

import pytest

from adapters.hl7.mapping.context import Profile
from adapters.hl7.message.tokenizer import parse
from adapters.hl7.profiles.compose import compose
from adapters.hl7.profiles.configured import profile_of
from adapters.hl7.profiles.model import Choices, SourceProfile
from adapters.hl7.profiles.read import Loaded
from fhir_server.config import Settings
from fhir_server.hl7_settings import Hl7Settings

# What results without a category are is a matter of who sends, not of the server.
OF_SENDERS = {"laboratory"}
USUAL = Settings(demo=True)


def other(name: str) -> Any:
    """Return a value that is not the usual one."""
    default = getattr(profile(USUAL), name)
    if isinstance(default, bool):
        return not default
    said = [
        one for part in get_args(Choices.model_fields[name].annotation) for one in get_args(part)
    ]
    return next((one for one in said if one != default), "http://example.org/other")


def profile(settings: Settings) -> Profile:
    return profile_of(parse("MSH|^~\\&|LIS|LAB"), settings, "http://example.org")


@pytest.mark.parametrize("name", sorted(Choices.model_fields))
def test_choice_of_a_profile_reaches_the_mapping(name: str) -> None:
    said = SourceProfile(version="1", mapping=Choices(**{name: other(name)}))
    agreed = compose(profile(USUAL), Loaded("lis", "f", said, ""), {}, hold=False)
    assert agreed == dataclasses.replace(
        compose(profile(USUAL), Loaded("lis", "f", SourceProfile(version="1"), ""), {}, hold=False),
        **{name: other(name)},
    )


@pytest.mark.parametrize("name", sorted(Choices.model_fields.keys() - OF_SENDERS))
def test_choice_of_a_profile_is_a_setting_of_the_server(name: str) -> None:
    changed = USUAL.model_copy(update={"hl7": Hl7Settings(**{name: other(name)})})
    assert profile(changed) == dataclasses.replace(profile(USUAL), **{name: other(name)})
