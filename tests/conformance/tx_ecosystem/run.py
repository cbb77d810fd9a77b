"""The suite's tests put to the library, or to a server that has it."""

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from terminology.operations import Answer, Call
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
STATEMENTS = {"metadata": "full", "term-caps": "terminology"}
Ask = Callable[[Call], Awaitable[Answer]]
"""Puts a call of an operation; of type `metadata` the operation is a mode."""


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


async def run(folder: Path, ask: Ask, modes: frozenset[str]) -> Report:
    """Run every test whose mode is on."""
    report = Report()
    for case in cases(folder):
        if case.mode and case.mode not in modes:
            report.skipped.append(case.name)
            continue
        difference = await judge(folder, ask, case, modes)
        report.ran[case.mode] = report.ran.get(case.mode, 0) + 1
        if difference is None:
            report.passed[case.mode] = report.passed.get(case.mode, 0) + 1
        else:
            report.failures[f"{case.suite}/{case.name}"] = difference
    return report


async def judge(folder: Path, ask: Ask, case: Case, modes: frozenset[str]) -> str | None:
    """How the answer differs from the expected one; None when it passes."""
    given = await ask(call(folder, case))
    expected = scrub(load(folder / _response(case.test, modes)))
    wanted = case.test.get("http-code", "2xx")
    if str(given.status)[0] != wanted[0]:
        return f"status {given.status}, not {wanted}: {given.resource}"
    pattern = case.test["operation"] in STATEMENTS
    return Comparison(modes, pattern=pattern).difference(expected, scrub(_received(given)))


def _response(test: Json, modes: frozenset[str]) -> str:
    """The file of the answer: that of a mode which is on, else the general one."""
    named = [test[f"response:{mode}"] for mode in sorted(modes) if f"response:{mode}" in test]
    return str([*named, test["response"]][0])


def _received(given: Answer) -> Json:
    """The answer as a client reads it."""
    return to_r5(json.loads(text(given.resource), parse_float=Decimal))


def text(resource: Json) -> str:
    """The resource as JSON."""
    return json.dumps(resource, default=_number)


def _number(value: object) -> float | int:
    assert isinstance(value, Decimal)
    return int(value) if value == value.to_integral_value() else float(value)


def call(folder: Path, case: Case) -> Call:
    """The call of a test with its setup as tx-resources."""
    if mode := STATEMENTS.get(case.test["operation"]):
        return Call("metadata", mode, {})
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
