"""227 public messages: each leaf is accounted for, each resource is R4, and as others map it."""

import re
from collections import Counter
from pathlib import Path

import pytest

from adapters.hl7.mapping.context import Refusal
from adapters.hl7.mapping.transform import transform
from adapters.hl7.message.accounting import REASONS, valued, written
from adapters.hl7.message.tokenizer import Address, Message
from fhir_server.interactions.judging import judged
from fhir_server.r4 import json
from fhir_server.server import Server
from tests.conformance.hl7v2.differences import GROUPS, compared, totals
from tests.conformance.hl7v2.pairs import Pair, ours, pairs, profile

DOCS = Path(__file__).parents[2] / "docs/hl7-mapping.md"
REFUSED = {"UNSUPPORTED_MESSAGE": 1, "UNMAPPABLE_STATUS": 1, "NO_PATIENT_ID": 1}
# Facts of their Bundles that are ours too, by type of resource; these may only rise.
AGREE = {
    "Coverage": 24,
    "Device": 32,
    "DiagnosticReport": 900,
    "Encounter": 348,
    "Location": 147,
    "MessageHeader": 740,
    "Observation": 3_725,
    "Organization": 611,
    "Patient": 1_059,
    "Practitioner": 637,
    "PractitionerRole": 16,
    "Provenance": 41,
    "RelatedPerson": 536,
    "ServiceRequest": 770,
    "Specimen": 608,
}
# What is written as it was sent: the text of such a leaf is in the output.
VERBATIM = (
    *(".family", ".given", ".prefix", ".suffix", ".line", ".city", ".state", ".postalCode"),
    *(".display", ".text", ".identifier.value", ".valueString", ".lotNumber", ".name"),
)


@pytest.fixture(scope="module")
def corpus(shared: Path) -> list[Pair]:
    return list(pairs(shared))


def test_every_leaf_of_a_message_is_mapped_or_listed_with_a_reason(corpus: list[Pair]) -> None:
    refused: Counter[str] = Counter()
    for pair in corpus:
        message = pair.message
        try:
            found = transform(message, profile())
        except Refusal as refusal:
            refused[refusal.reason] += 1
            continue
        everything = sorted(written(message.segments[a[0]], a) for a in valued(message))
        mapped = [written(message.segments[a[0]], a) for a in message.mapped]
        assert sorted([*mapped, *(place for place, _ in found.unmapped)]) == everything
        assert {reason for _, reason in found.unmapped} <= set(REASONS)
    assert len(corpus) == 227
    assert refused == REFUSED


def test_what_counts_as_mapped_is_in_the_output(shared: Path) -> None:
    lost = []
    for pair in pairs(shared):
        try:
            found = transform(pair.message, profile())
        except Refusal:
            continue
        output = json.encode({"all": [w.resource for w in found.writes], "said": found.said})
        known = output.decode().lower()
        for address, path in pair.message.mapped.items():
            if path.endswith(VERBATIM):
                text = json.encode({"": _leaf(pair.message, address)}).decode()[5:-2]
                if text.lower() not in known:
                    lost.append((pair.name, written(pair.message.segments[address[0]], address)))
    assert lost == []


def _leaf(message: Message, address: Address) -> str:
    index, number, repetition, component, sub = address
    marks, segment = message.delimiters, message.segments[index]
    text = segment.fields[number].split(marks.repetition)[repetition - 1]
    if not segment.is_text(number):
        text = text.split(marks.component)[component - 1].split(marks.subcomponent)[sub - 1]
    return message.unescaped(text).strip()


@pytest.mark.anyio
async def test_every_resource_of_a_message_is_judged_valid(
    server: Server, corpus: list[Pair]
) -> None:
    """As a server judges what is written to it: structure, bindings and extensions."""
    seen: set[bytes] = set()
    wrong = []
    for pair in corpus:
        for resource in ours(pair.message)[1]:
            raw = json.encode(resource)
            if raw in seen:
                continue
            seen.add(raw)
            kind = resource["resourceType"]
            verdict = await judged(server, kind, json.decode(raw), raw=raw)
            errors = [one for one in verdict.issues if one.severity in {"error", "fatal"}]
            wrong += [(pair.name, kind, one.text, one.expression) for one in errors]
    assert wrong == []


@pytest.fixture(scope="module")
def counts(corpus: list[Pair]) -> tuple[Counter[str], Counter[str]]:
    return totals(one for pair in corpus for one in compared(pair))


@pytest.mark.parametrize("kind", AGREE)
def test_facts_that_agree_do_not_become_fewer(
    kind: str, counts: tuple[Counter[str], Counter[str]]
) -> None:
    assert counts[0][kind] >= AGREE[kind]


def test_differences_are_those_that_the_documentation_counts_or_fewer(
    counts: tuple[Counter[str], Counter[str]],
) -> None:
    agree, differ = counts
    print("agree", sum(agree.values()), dict(agree), "differ", dict(differ))  # noqa: T201
    lines = re.findall(r"^\| (R\d+) \| (.*) \| (\d+) \|$", DOCS.read_text(), re.MULTILINE)
    assert [(name, why) for name, why, _ in lines] == [(name, why) for name, why, _ in GROUPS]
    documented = {name: int(count) for name, _, count in lines}
    assert {name: n for name, n in differ.items() if n > documented[name]} == {}
