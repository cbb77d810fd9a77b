"""UCUM as a code system.

A unit has no display that would be the right one: what value sets call it is not checked.

https://hl7.org/fhir/R4/ucum.html
"""

from collections.abc import Callable, Collection
from dataclasses import replace

from terminology.code_system import Head, PropertyDefinition
from terminology.concepts import Concept, Designation, Property
from terminology.filters import Filter
from terminology.grammars.grammar import GrammarCodeSystem
from terminology.ucum.essence import essence
from terminology.ucum.grammar import Simple, Term, parse
from terminology.ucum.unit import SYSTEM, canonical, unit


def read_unit(code: str) -> Concept | None:
    """Return the concept of a unit: its definition in words, its canonical form as a property."""
    if unit(code) is None:
        return None
    base = canonical(code)
    assert base is not None
    words = _words(parse(code)) or "(unity)"
    return Concept(
        code,
        definition=words,
        # Texts to search by.
        designations=(
            Designation(words, "en", {"display": "description"}),
            Designation(code, None, {"display": "code"}),
        ),
        properties=(Property("canonical", "valueString", base[0]),),
    )


def _words(term: Term) -> str:
    """Return a product in words, such as `(milligram) / (deciliter)`."""
    said = ""
    for part, sign in term.parts:
        word = f"({_words(part)})" if isinstance(part, Term) else _word(part)
        between = (" . " if sign > 0 else " / ") if said else ("" if sign > 0 else "/ ")
        said += between + word
    return said


def _word(part: Simple) -> str:
    if part.atom is None:
        return str(part.number)
    prefix = essence().prefixes[part.prefix][1] if part.prefix else ""
    power = "" if part.exponent == 1 else f" ^ {part.exponent}"
    return f"({prefix}{part.atom.name}{power})"


def _rewrite(asked: Filter) -> Filter:
    """Return the filter with its unit in canonical form: `canonical = mg` is any mass."""
    if asked.property != "canonical" or asked.op != "=" or asked.value is None:
        return asked
    base = canonical(asked.value)
    return replace(asked, value=base[0] if base else asked.value)


def ucum(common: Callable[[], Collection[str]]) -> GrammarCodeSystem:
    """Return the code system; `common` gives the units that a selection lists."""
    head = Head(
        url=SYSTEM,
        version=essence().version,
        name="UCUM",
        title="Unified Code for Units of Measure (UCUM)",
        status="active",
        properties=(PropertyDefinition("canonical", description="The unit in base units"),),
    )
    return GrammarCodeSystem(head, read_unit, common, _rewrite)
