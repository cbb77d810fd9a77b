"""Why facts of the other converter are not ours, by groups of which the first that fits counts."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from tests.conformance.hl7v2.pairs import Fact, Pair, facts, ours

_SHIFT: Final = re.compile(r"\d{4}-\d\d-\d\d")
Predicate = Callable[[str, str, Pair, int], bool]


def _element(pattern: str) -> Predicate:
    compiled = re.compile(pattern)
    return lambda path, _value, _pair, _n: compiled.search(path) is not None


def _not_sent(path: str, value: str, pair: Pair, _n: int) -> bool:
    return (
        pair.name.startswith("FHIR_to_HL7")
        and value not in _text(pair)
        and ".extension(" not in path
    )


def _fewer(_path: str, _value: str, _pair: Pair, here: int) -> bool:
    return here > 0


def _time(_path: str, value: str, _pair: Pair, _n: int) -> bool:
    return _SHIFT.match(value) is not None


def _text(pair: Pair) -> str:
    return "|".join("|".join(segment.fields) for segment in pair.message.segments)


# Name, what it is, and which facts: (element, value, pair, how often it is ours).
GROUPS: Final[tuple[tuple[str, str, Predicate], ...]] = (
    ("R1", "in their Bundle only: the message was made of it and does not have it", _not_sent),
    (
        "R2",
        (
            "their Provenance for each segment, with times of their run; here that of EVN and ORC,"
            " and one of the message at the commit"
        ),
        _element(r"^Provenance\."),
    ),
    (
        "R3",
        (
            "their Organization, Device and Location for each part of an assigning authority; here"
            " the system of the identifier (D19, D70), and one resource for equal ones"
        ),
        _element(r"^(Organization|Location|Device)\.(identifier|name|physicalType|mode|status)"),
    ),
    (
        "R4",
        (
            "systems that they copy or make up (`L`, `NPI`, `urn:id:...`, a page of table 0396);"
            " here URLs of table 0396, else systems of the sender"
        ),
        _element(r"(identifier|coding|Coding|class|Quantity|tag)\.system$"),
    ),
    (
        "R5",
        "types of identifiers: PLAC and FILL here (D21); theirs also PGN and codes that are none",
        _element(r"identifier\.(type|use)"),
    ),
    (
        "R6",
        "next of kin as Patient.contact; here RelatedPerson but for emergency contacts (NK1-3)",
        _element(r"^(Patient\.(contact|link)|Organization\.contact|RelatedPerson\.)"),
    ),
    (
        "R7",
        "displays that they add to codes, or take from a triplet without code (here its text)",
        _element(r"\.(display|version)$"),
    ),
    (
        "R8",
        "extensions of other types or elsewhere (D77, D78; numbers of a telecom are strings)",
        _element(r"extension\("),
    ),
    (
        "R9",
        "callback numbers and addresses of ORC at the Practitioner; here as D46, and ORC-24",
        _element(r"^(Practitioner|PractitionerRole|Organization)\.(telecom|address|code|period)"),
    ),
    (
        "R10",
        (
            "statuses and intents: by tables 0085, 0119, 0123 and OBR-11 here (D5, D10), mostly"
            " `unknown` there"
        ),
        _element(r"\.(status|intent)$"),
    ),
    (
        "R11",
        (
            "times without offset: of the sender's zone there, with the offset of MSH-7 here; an"
            " `issued` without seconds is none (D33)"
        ),
        _time,
    ),
    (
        "R12",
        "repeated there: equal specimens, codes and persons are one here",
        _fewer,
    ),
    (
        "R13",
        "MessageHeader and its software: they add receiver and source of their own",
        _element(r"^(MessageHeader|Device)\."),
    ),
    (
        "R14",
        "persons in fields that are not mapped here: notes after PID, insurance of a result",
        _element(r"^(Practitioner|PractitionerRole|Coverage)\."),
    ),
    (
        "R15",
        (
            "SN with `=` and one number is a Ratio there, a Quantity here; with an unknown sign"
            " here a string (D9); OBX-6 without UCUM gives no code"
        ),
        _element(r"^Observation\.value(Ratio|Range|Quantity)\."),
    ),
    (
        "R16",
        "numbers of the order as identifiers of its results and reports; here of the order",
        _element(r"^(Observation|DiagnosticReport)\.identifier\."),
    ),
    (
        "R17",
        "orders of one message that share a placer number and a code; here one order",
        _element(r"^ServiceRequest\."),
    ),
    (
        "R18",
        "results that their run of filters has added or taken away",
        _element(r"^Observation\.(value)?[cC]ode"),
    ),
    ("R19", "others, each in few messages", lambda *_: True),
)


def compared(pair: Pair) -> Iterator[tuple[str, Fact, int]]:
    """Yield (group, fact, count) of each fact of theirs; the group is "" where it is ours too."""
    mapped, resources = ours(pair.message)
    if mapped is None:
        return
    here = facts(resources)
    for fact, count in facts(pair.theirs).items():
        both = min(count, here[fact])
        if both:
            yield "", fact, both
        if count > both:
            path, value = fact
            group = next(name for name, _, fits in GROUPS if fits(path, value, pair, both))
            yield group, fact, count - both


def totals(found: Iterator[tuple[str, Fact, int]]) -> tuple[Counter[str], Counter[str]]:
    """Return how many facts agree by type of resource, and how many differ by group."""
    agree: Counter[str] = Counter()
    differ: Counter[str] = Counter()
    for group, (path, _), count in found:
        if group:
            differ[group] += count
        else:
            agree[path.partition(".")[0]] += count
    return agree, differ


def documented(differ: Counter[str]) -> Iterator[str]:
    """Yield the lines of the table of the documentation."""
    for name, why, _ in GROUPS:
        yield f"| {name} | {why} | {differ[name]} |"
