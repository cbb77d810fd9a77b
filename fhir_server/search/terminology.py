"""What a terminology service tells a search: the codes that a token's modifier stands for.

https://hl7.org/fhir/R4/search.html#token
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from fhir_server.search.clause import Clause
from fhir_server.search.condition import Condition

MODIFIERS = frozenset({"in", "not-in", "above", "below"})
"""Modifiers of token parameters that need a terminology service."""

Terms: TypeAlias = Callable[[str, str], Sequence[int]]
"""The terms under which a coding (system, code) of the clause's parameter is indexed."""


class Terminology(Protocol):
    """Value sets and subsumption, as conditions on one token parameter."""

    def condition(self, clause: Clause, terms: Terms) -> Condition:
        """Return the condition that a value of the parameter is among the codes meant.

        `clause.modifier` is `in` (the values are URLs or canonicals of value sets),
        `below` or `above` (the values are tokens: what they subsume, or what subsumes
        them, themselves included); the values are still escaped, and any of them may
        be met. The caller negates `in` for `not-in`. BadRequest for what is unknown or
        cannot be expanded: it is never "no match".
        """


class NoTerminology:
    """The terminology of a server that has none."""

    def condition(self, clause: Clause, terms: Terms) -> Condition:  # noqa: ARG002  (Terminology)
        """Refuse the modifier by name."""
        text = f"The modifier {clause.modifier} needs terminology, which is not offered."
        raise clause.unsupported(text)


NO_TERMINOLOGY = NoTerminology()
