"""Imagined patients."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_FAMILIES: Final = (
    *("Banerjee", "Iyer", "Kulkarni", "Mehta", "Nair"),
    *("Pillai", "Rao", "Reddy", "Sharma", "Verma"),
)
_GIVEN: Final = (
    *("Anil", "Asha", "Deepa", "Farid", "Gita"),
    *("Imran", "Kiran", "Latha", "Meera", "Ravi"),
)


@dataclass(frozen=True, slots=True)
class Person:
    """A patient who follows from `number` alone."""

    number: int
    family: str
    given: str
    born: datetime
    sex: str

    @property
    def identifier(self) -> str:
        """The number that the hospital SIMHOSP gave."""
        return f"T{self.number:06d}"


def person(number: int) -> Person:
    """Return the patient of a number."""
    dice = random.Random(number)  # noqa: S311  (a simulation, not a secret)
    family, given = dice.choice(_FAMILIES), dice.choice(_GIVEN)
    born = datetime(1940, 1, 1, tzinfo=UTC) + timedelta(days=dice.randrange(28_000))
    return Person(number, family, given, born, dice.choice("FM"))


def pid(one: Person) -> str:
    """Return the PID segment of a patient."""
    return (
        f"PID|1||{one.identifier}^^^SIMHOSP^MR||{one.family}^{one.given}||{one.born:%Y%m%d}"
        f"|{one.sex}|||{one.number % 200} Sample Road^^Pune^MH^411001^IN^H"
        f"||^PRN^PH^^91^20^555{one.number:05d}"
    )
