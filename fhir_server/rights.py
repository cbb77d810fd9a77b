"""What a caller may do, as a value.

Access is an intersection of walls (roles, scopes, labels, consent...), each of which is a
union of grants: every wall must let a resource through by one whole grant. What is to be
asked of the database for it is compiled by `fhir_server.access`.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from dataclasses import dataclass
from typing import TypeAlias

LETTERS = "cruds"
"""Create, read, update, delete, search, as SMART's scopes write them."""

BEFORE, AFTER = "b", "a"
"""What an update finds, and what it leaves, where a grant does not say the same of both.

Every `u` is both.
"""

ANY = "*"
"""A grant on every type."""


@dataclass(frozen=True, slots=True)
class Matching:
    """The resource matches these search parameters, decoded (name, value), every one of them."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Inside:
    """The resource belongs to the compartment of `type`/`id`."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Related:
    """The resource is of a patient with whom one of these has a care relationship now.

    `actors` are references, as `Practitioner/1`.
    """

    actors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Having:
    """The resource is of a patient who also has a `type` that matches `pairs`, as an open order.

    `pairs` are as those of `Matching`.
    """

    type: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """The resource is of a patient whose record `user` has open by breaking the glass.

    `user` is a reference, as `Practitioner/1`.
    """

    user: str


@dataclass(frozen=True, slots=True)
class Cleared:
    """The resource's labels are within a clearance.

    Its confidentiality (v3-Confidentiality, U<L<M<N<R<V; none counts as N) is at most
    `confidentiality`, and each of its sensitivities (v3-ActCode) is among `sensitivities`;
    `*` is all of them. `breaking`: only labels count that no emergency breaks.
    """

    confidentiality: str
    sensitivities: tuple[str, ...] = ()
    breaking: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """The resource is one that its patient may see by now (status, hold time, labels)."""


@dataclass(frozen=True, slots=True)
class Reported:
    """No resource: there is an account of them instead (`$access-report`)."""


@dataclass(frozen=True, slots=True)
class Consented:
    """No consent keeps the resource from these actors (references) for this purpose.

    `purpose` is a code of v3-PurposeOfUse, as TREAT; `action` one of consentaction: to
    `disclose` always needs a consent that permits it.
    """

    actors: tuple[str, ...]
    purpose: str
    action: str = "access"


Limit: TypeAlias = (
    Matching | Inside | Related | Having | Opened | Cleared | Released | Reported | Consented
)


@dataclass(frozen=True, slots=True)
class Grant:
    """Letters of `LETTERS` for resources of a type that meet every limit; `ANY` is every type.

    `without`: they are shown in part, without the elements of these names and the extensions
    of these URLs (fhir_server/access/masking.py); such a grant is to read and search alone.
    """

    type: str
    letters: str
    limits: tuple[Limit, ...] = ()
    without: tuple[str, ...] = ()


Wall: TypeAlias = tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Rights:
    """What may be done: what every wall lets through. No wall is everything.

    `operator` are the scopes of operators that were granted, as `roles` or `audit`.
    """

    walls: tuple[Wall, ...]
    operator: frozenset[str] = frozenset()

    def and_(self, wall: Wall) -> "Rights":
        """Return the rights that this wall leaves of these."""
        return Rights((*self.walls, wall), self.operator)


def is_wide(rights: Rights, type_: str, letter: str) -> bool:
    """Return whether labels and consents alone limit the letter for a type, if anything does."""
    return all(any(_is_wide(one, type_, letter) for one in wall) for wall in rights.walls)


def _is_wide(grant: Grant, type_: str, letter: str) -> bool:
    return (
        letter in grant.letters
        and grant.type in {type_, ANY}
        and not grant.without
        and all(isinstance(limit, Cleared | Consented) for limit in grant.limits)
    )


NOTHING = Rights(((),))
EVERYTHING = Rights((), frozenset({ANY}))
