"""What a search asks of consents: whose record a resource is, and who asks for what."""

from dataclasses import dataclass

Place = tuple[int, str]
"""A resource by type id and id."""


@dataclass(frozen=True, slots=True)
class Record:
    """Whose record a resource is: the Patient that `params` lead to, or itself without any.

    `patient` is the type id of Patient.
    """

    patient: int
    params: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks and what for, as provisions of consents name it.

    To the `actors` comes what they are part or member of: what they refer to by `upward`,
    and what refers to them by `membership` and has none of the terms `ended`. `purposes`
    are codes of v3-ActReason, `actions` of consentaction.
    """

    actors: tuple[Place, ...]
    upward: tuple[int, ...]
    membership: tuple[int, ...]
    ended: tuple[int, ...]
    purposes: tuple[str, ...]
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Withheld:
    """A consent of the patient keeps the resource from who asks (docs/decisions/0048).

    `permitted`: it is not kept where no consent decides. `unread`: consents that are not
    understood count too, and keep everything.
    """

    record: Record
    asking: Asking
    permitted: bool
    unread: bool


@dataclass(frozen=True, slots=True)
class Aged:
    """The resource was last updated at least so many microseconds ago, when it is asked."""

    microseconds: int
