"""The suite's tests run against the library."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from terminology.capabilities import terminology_capabilities
from terminology.library import Library
from terminology.operations import Answer, Call, answer
from terminology.readings import Readings
from terminology.scope import Limits
from tx_ecosystem.compare import Comparison, scrub
from tx_ecosystem.convert import to_r4, to_r5

Json = dict[str, Any]

OPERATIONS = {
    "expand": ("ValueSet", "expand"),
    "validate-code": ("ValueSet", "validate-code"),
    "batch-validate": ("ValueSet", "batch-validate-code"),
    "cs-validate-code": ("CodeSystem", "validate-code"),
    "lookup": ("CodeSystem", "lookup"),
    "translate": ("ConceptMap", "translate"),
}
KNOWN = OPERATIONS.keys() | {"term-caps"}


@dataclass(frozen=True)
class Case:
    """One test of one suite."""

    suite: str
    mode: str
    name: str
    setup: tuple[str, ...]
    test: Json


@dataclass
class Report:
    """Cases passed by mode, failures with their reason, skips."""

    passed: dict[str, int] = field(default_factory=dict)
    ran: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = [
            f"{mode or 'none'} {self.passed.get(mode, 0)}/{n}" for mode, n in self.ran.items()
        ]
        return f"tx-ecosystem: {', '.join(counts)}; {len(self.skipped)} skipped"


def load(place: Path) -> Json:
    """A file of the suite, its numbers as written."""
    return json.loads(place.read_text("utf-8-sig"), parse_float=Decimal)


def cases(folder: Path) -> Iterator[Case]:
    """All tests of the suite."""
    for suite in load(folder / "test-cases.json")["suites"]:
        for test in suite["tests"]:
            mode = test.get("mode") or suite.get("mode") or ""
            yield Case(suite["name"], mode, test["name"], tuple(suite["setup"]), test)


async def run(folder: Path, library: Library, modes: frozenset[str]) -> Report:
    """Run every test whose mode is on and whose operation is in the library."""
    report, readings = Report(), Readings()
    for case in cases(folder):
        if (case.mode and case.mode not in modes) or case.test["operation"] not in KNOWN:
            report.skipped.append(case.name)
            continue
        difference = await judge(folder, library, case, modes, readings)
        report.ran[case.mode] = report.ran.get(case.mode, 0) + 1
        if difference is None:
            report.passed[case.mode] = report.passed.get(case.mode, 0) + 1
        else:
            report.failures[f"{case.suite}/{case.name}"] = difference
    return report


async def judge(
    folder: Path, library: Library, case: Case, modes: frozenset[str], readings: Readings
) -> str | None:
    """How the answer differs from the expected one; None when it passes."""
    if case.test["operation"] == "term-caps":
        return _judge_capabilities(load(folder / case.test["response"]))
    given = await answer(library, call(folder, case), readings)
    expected = scrub(load(folder / _response(case.test, modes)))
    wanted = case.test.get("http-code", "2xx")
    if str(given.status)[0] != wanted[0]:
        return f"status {given.status}, not {wanted}: {given.resource}"
    return Comparison(modes).difference(expected, scrub(_received(given)))


def _response(test: Json, modes: frozenset[str]) -> str:
    """The file of the answer: that of a mode which is on, else the general one."""
    named = [test[f"response:{mode}"] for mode in sorted(modes) if f"response:{mode}" in test]
    return str([*named, test["response"]][0])


def _judge_capabilities(expected: Json) -> str | None:
    given = terminology_capabilities({}, "1", datetime(2025, 1, 1, tzinfo=UTC))
    return Comparison(pattern=True).difference(expected, scrub(given))


def _received(given: Answer) -> Json:
    """The answer as a client reads it."""
    return to_r5(json.loads(json.dumps(given.resource, default=_number), parse_float=Decimal))


def _number(value: object) -> float | int:
    assert isinstance(value, Decimal)
    return int(value) if value == value.to_integral_value() else float(value)


def call(folder: Path, case: Case) -> Call:
    """The call of a test with its setup as tx-resources."""
    request = load(folder / case.test["request"])
    setup = [{"name": "tx-resource", "resource": load(folder / name)} for name in case.setup]
    profile = load(folder / case.test.get("profile", "parameters-default.json"))
    parameters = [*request["parameter"], *setup, *profile["parameter"]]
    type_name, operation = OPERATIONS[case.test["operation"]]
    header = case.test.get("header", {})
    threshold = header.get("value") if header.get("name") == "X-TOO-COSTLY-THRESHOLD" else None
    return Call(
        type=type_name,
        operation=operation,
        parameters=to_r4({"resourceType": "Parameters", "parameter": parameters}),
        accept_language=case.test.get("Accept-Language"),
        limits=Limits(unpaged=int(threshold)) if threshold else Limits(),
    )
