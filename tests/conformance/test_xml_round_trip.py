"""Every official example is the same after a way through XML."""

import json as standard_json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhir_server.config import Limits
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.r4.xml import from_xml, to_xml

EXAMPLES = "data/r4/hl7.fhir.r4.examples-4.0.1.tgz"
XML_EXAMPLES = "data/fhir-test-cases/r4/examples"
FLOOR = 5_306
XML_FLOOR = 10
LIMITS = Limits()
_CARRIAGE_RETURN = re.compile(rb"\\r|\\u000[dD]")


def examples(shared: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(shared / EXAMPLES) as package:
        for member in package:
            file = package.extractfile(member)
            if file and member.name.endswith(".json") and not member.name.endswith("/package.json"):
                yield member.name, file.read()


def canonical(raw: bytes) -> Any:
    """The document with each number as its text, and line ends of narratives as XML has them."""
    data = standard_json.loads(raw, parse_float=number, parse_int=number)
    return with_plain_lines(data) if _CARRIAGE_RETURN.search(raw) else data


def number(literal: str) -> tuple[str, str]:
    return ("number", literal)


def with_plain_lines(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: item.replace("\r\n", "\n").replace("\r", "\n")
            if name == "div" and isinstance(item, str)
            else with_plain_lines(item)
            for name, item in value.items()
        }
    return list(map(with_plain_lines, value)) if isinstance(value, list) else value


@pytest.mark.timeout(600)
def test_every_official_example_comes_back_from_xml_with_every_literal(shared: Path) -> None:
    definitions, count = load(), 0
    for name, raw in examples(shared):
        data = json.decode_keeping(raw)
        if "resourceType" not in data:
            continue
        xml = to_xml(definitions, data)
        assert canonical(json.encode(from_xml(definitions, xml, LIMITS))) == canonical(raw), name
        count += 1
    print(f"\nXML: {count} official examples came back equal")  # noqa: T201  (the count that ran)
    assert count >= FLOOR


def test_xml_examples_come_back_from_json(shared: Path) -> None:
    definitions, count = load(), 0
    for file in sorted((shared / XML_EXAMPLES).glob("*.xml")):
        data = from_xml(definitions, file.read_bytes(), LIMITS)
        again = to_xml(definitions, json.decode_keeping(json.encode(data)), pretty=True)
        assert from_xml(definitions, again, LIMITS) == data, file.name
        count += 1
    print(f"\nXML: {count} XML examples read")  # noqa: T201  (the count that ran)
    assert count >= XML_FLOOR
