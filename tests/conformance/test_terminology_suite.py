"""HL7's terminology test suite (tx-ecosystem) over HTTP."""

import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from tx_ecosystem.compare import Comparison, same, scrub
from tx_ecosystem.run import Case, call, cases, load, run, text

from fhir_server.config import Settings, TerminologySettings
from terminology.library import Shelf
from terminology.operations import Answer, Call, answer
from terminology.scope import Limits

SUITE = "data/tx-ecosystem"
FHIR = {"content-type": "application/fhir+json", "accept": "application/fhir+json"}

# The three tests of mode tx.fhir.org ask for pages, as any client may.
MODES = frozenset({"general", "tx.fhir.org"})
FLOOR = 492


@pytest.fixture
def settings(settings: Settings) -> Settings:
    terminology = TerminologySettings(cost_header=True)
    return settings.model_copy(update={"terminology": terminology})


class Http:
    """Puts the suite's calls to a server; `once`: the setup that tests share is sent once."""

    def __init__(self, client: httpx.AsyncClient, *, once: bool) -> None:
        self.client, self.once = client, once
        self.caches: dict[str, str] = {}

    async def ask(self, asked: Call) -> Answer:
        if asked.type == "metadata":
            found = await self.client.get("/metadata", params={"mode": asked.operation})
            return Answer(found.status_code, found.json())
        own, headers = asked.parameters["parameter"], FHIR | _headers(asked)
        if self.once:
            setup = [one for one in own if one["name"] == "tx-resource"]
            own = [one for one in own if one["name"] != "tx-resource"]
            headers["x-cache-id"] = await self.cached(setup)
        found = await self.client.post(
            f"/{asked.type}/${asked.operation}", content=text(_parameters(own)), headers=headers
        )
        return Answer(found.status_code, found.json())

    async def cached(self, setup: list[Any]) -> str:
        """The id of the cache that holds the resources."""
        content = text(_parameters(setup))
        if content not in self.caches:
            url = "/$cache-control?mode=start"
            begun = await self.client.post(url, content=content, headers=FHIR)
            self.caches[content] = begun.json()["parameter"][0]["valueId"]
        return self.caches[content]


def _parameters(given: list[Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": given}


def _headers(asked: Call) -> dict[str, str]:
    found = {"accept-language": asked.accept_language} if asked.accept_language else {}
    if asked.limits != Limits():
        found["x-too-costly-threshold"] = str(asked.limits.unpaged)
    return found


@pytest.mark.parametrize("once", [True, False], ids=["setup kept", "setup sent along"])
async def test_the_suite_passes_as_recorded(
    shared: Path, client: httpx.AsyncClient, *, once: bool
) -> None:
    report = await run(shared / SUITE, Http(client, once=once).ask, MODES)
    print(f"\n{report}")  # noqa: T201  (the count that passed)
    for name, reason in report.failures.items():
        print(f"  {name}: {reason}")  # noqa: T201
    assert sum(report.passed.values()) >= FLOOR
    assert report.skipped == []


def test_the_comparison_sees_an_added_member_in_every_expected_answer(shared: Path) -> None:
    folder = shared / SUITE
    for case in _compared(folder):
        expected = scrub(load(folder / case.test["response"]))
        added = {key: value for key, value in expected.items() if not key.startswith("$")}
        difference = Comparison(MODES).difference(expected, {**added, "added": True})
        assert difference == ": ['added'] not expected", case.name


def _compared(folder: Path) -> list[Case]:
    return [one for one in cases(folder) if one.test["operation"] not in {"metadata", "term-caps"}]


STRANGE = [None, 5, -1, True, "", [], {}, [None], {"a": 1}, "|", "*", 1e300, [[1]], "a|b|c"]


async def test_malformed_requests_are_answered_or_refused(shared: Path) -> None:
    chance = random.Random(20)
    listed = [one for one in _compared(shared / SUITE) if one.suite not in {"big", "tho"}]
    statuses = set()
    for _ in range(300):
        asked = call(shared / SUITE, chance.choice(listed))
        _spoil(asked.parameters, chance)
        statuses.add((await answer(Shelf(), asked)).status)
    assert statuses == {200, 400, 404}


def _spoil(value: Any, chance: random.Random) -> None:
    """Put something strange somewhere into the JSON, or take something out."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = chance.choice(keys)
    if isinstance(value[key], dict | list) and value[key] and chance.random() < DEEPER:
        _spoil(value[key], chance)
    elif isinstance(value, dict) and chance.random() < DROPPED:
        del value[key]
    else:
        value[key] = chance.choice(STRANGE)


DEEPER, DROPPED = 0.9, 0.3


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1}, {}),
        ({"a": 1}, {"a": 2}),
        ({"a": True}, {"a": 1}),
        ({"a": [{"name": "x"}]}, {"a": []}),
        ({"a": [{"name": "x"}]}, {"a": [{"name": "x"}, {"name": "x"}]}),
        ({"a": "1.0"}, {"a": "1.1"}),
        ({"a": "$uuid$"}, {"a": "1"}),
        ({"a": "$choice:b|c$"}, {"a": "d"}),
        ({"a": "$external:1:wolf$"}, {"a": "a dog"}),
        ({"a": [{"$optional$": "!general", "name": "x"}]}, {"a": []}),
        ({"a": [{"$optional$": "version:5", "name": "x"}]}, {"a": []}),
    ],
    ids=str,
)
def test_the_comparison_sees_a_difference(expected: object, actual: object) -> None:
    assert Comparison(MODES).difference(expected, actual) is not None


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"$optional-properties$": ["b"], "a": 1}, {"a": 1, "b": 2}),
        ({"a": [{"$optional$": True, "name": "x"}]}, {}),
        ({"a": [{"$optional$": "version:4", "name": "x"}]}, {"a": []}),
        ({"a": "$external:1:wolf$"}, {"a": "a Wolf"}),
        ({"$count-arrays$": ["a"], "a": [1]}, {"a": [2]}),
        ({"name": "message", "valueString": "b; a"}, {"name": "message", "valueString": "a; b"}),
    ],
    ids=str,
)
def test_the_comparison_takes_what_the_suite_allows(expected: object, actual: object) -> None:
    assert Comparison(MODES).difference(expected, actual) is None


def test_texts_are_compared_by_their_letters() -> None:
    assert same("CodeSystem 'http://a'", "CodeSystem http://a") is True
    assert same("Display 1", "Display 2") is False
