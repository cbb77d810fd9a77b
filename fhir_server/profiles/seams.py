"""What judging by profiles asks of its surroundings.

Each question is answered at once and may be answered with None, "not known". Who
has to wait for an answer (a database) notes the question, answers None, finds the
answer afterwards and has the resource judged again.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

Json: TypeAlias = Mapping[str, Any]


class ProfileSource(Protocol):
    """Definitions by canonical; the same object as long as its content is the same."""

    def definition(self, canonical: str) -> Json | None:
        """Return the StructureDefinition of this URL, with `|version` that version."""


class Bindings(Protocol):
    """Membership of value sets."""

    def member(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Return whether the code is in the value set; None where that is not known.

        Without a system the code stands for itself, in whatever system the value set has it.
        """


class Targets(Protocol):
    """Resources outside the one that is judged."""

    def resource(self, reference: str) -> Json | None:
        """Return the resource that this relative or absolute reference leads to."""


class Codes(Protocol):
    """Codes by themselves, whatever value set they are to be of."""

    def problem(self, system: str, code: str, display: str | None) -> str | None:
        """Return what is wrong with a Coding: a text without its values; None for nothing known."""


class Nothing:
    """Surroundings that know nothing."""

    def definition(self, canonical: str) -> Json | None:  # noqa: ARG002
        """Return None."""
        return None

    def member(self, value_set: str, system: str | None, code: str) -> bool | None:  # noqa: ARG002
        """Return None."""
        return None

    def resource(self, reference: str) -> Json | None:  # noqa: ARG002
        """Return None."""
        return None

    def problem(self, system: str, code: str, display: str | None) -> str | None:  # noqa: ARG002
        """Return None."""
        return None
