"""What is agreed with one sender beyond the standard, as far as mapping needs it.

adapters/hl7/profiles makes these of a profile's file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, Protocol

Trust = Literal["national", "authority", "none"]
ExtensionType = Literal["string", "code", "date", "dateTime", "decimal", "integer", "boolean"]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a message: `PID-3.1` is segment PID, field 3, component 1.

    `component` and `sub` are 0 where the place is a whole field, or a whole component.
    """

    segment: str
    number: int
    component: int = 0
    sub: int = 0

    def __str__(self) -> str:
        """Return the place as it is written in a profile."""
        tail = "".join(f".{part}" for part in (self.component, self.sub) if part)
        return f"{self.segment}-{self.number}{tail}"


class Pattern(Protocol):
    """A regular expression: of RE2, as profiles have them, or of Python."""

    def search(self, string: str, /) -> object | None:
        """Return something where it matches anywhere in the text, else None."""


@dataclass(frozen=True, slots=True)
class QcRule:
    """A message, or the specimen's group of it, is quality control where this matches.

    `pattern` is searched for in the first leaf at `place`; ASTM records have places too
    (`O-12`).
    """

    place: Place
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class CriticalRule:
    """Values of a test that somebody must be told of.

    `code` is the code as sent or as translated; `system` is that of the code, "" for
    any. `unit` is UCUM, or as sent, "" for any: a rule for another unit says nothing.
    A value at or below `low`, or at or above `high`, is critical. `sex` is a code of
    administrative gender, "" for any; ages are years, `from_age` <= age < `to_age`, and
    a rule with sex or ages says nothing of a patient of whom that is not known.
    """

    code: str
    system: str = ""
    unit: str = ""
    sex: str = ""
    from_age: Decimal | None = None
    to_age: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Critical:
    """What is critical, and who is told where the message names nobody.

    `codes` are interpretation codes; values below `below_percent` of the lower, or
    above `above_percent` of the upper limit of the reference range are critical where
    no rule is for the test; None: the range alone makes nothing critical. `recipient`
    is a reference such as `Organization/ward-3`, "" for none.
    """

    codes: frozenset[str] = frozenset(("HH", "LL", "AA"))
    rules: tuple[CriticalRule, ...] = ()
    above_percent: Decimal | None = Decimal(200)
    below_percent: Decimal | None = Decimal(50)
    recipient: str = ""


@dataclass(frozen=True, slots=True)
class LocalExtension:
    """A leaf, mostly of a Z segment, that becomes an extension of each `resource` type."""

    place: Place
    resource: str
    url: str
    kind: ExtensionType = "string"


@dataclass(frozen=True, slots=True)
class Translation:
    """The coding that a local code means."""

    system: str
    code: str
    display: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """A place that must match for a quirk to apply."""

    place: Place
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Quirk:
    """A correction of the message before it is mapped.

    `copy` and `move` take `source` to `target`, and leave a valued target as it is
    unless they `overwrite` it; `drop` leaves `target` out; `default` puts `value` there
    where nothing is; `table` puts for a code at `target` what `codes` has for it.
    """

    kind: Literal["copy", "move", "drop", "default", "table"]
    target: Place
    source: Place | None = None
    value: str = ""
    overwrite: bool = False
    codes: Mapping[str, str] = field(default_factory=dict)
    when: Condition | None = None


Codes = Mapping[tuple[str, str], tuple[Translation, ...]]
"""Codings by (local system, local code); a system of "" stands for any local one."""


@dataclass(frozen=True, slots=True)
class Dictionary:
    """The translations of one sender.

    `fields` holds codes by the place of the field (`OBX-3`); `unit_codes` UCUM by the
    unit as sent, `unit_defaults` the unit of a test, by its code, that is sent without
    one. `version` is another one whenever any of it is. `asked` are the fields of which
    a code without translation is told to the operators; where `hold`, a message that
    has one waits for them.
    """

    version: str = ""
    fields: Mapping[str, Codes] = field(default_factory=dict)
    unit_codes: Mapping[str, str] = field(default_factory=dict)
    unit_defaults: Mapping[str, str] = field(default_factory=dict)
    asked: frozenset[str] = frozenset(("OBX-3", "OBX-5", "OBX-6", "OBR-4", "SPM-4"))
    hold: bool = False


NO_TRANSLATIONS: Final = Dictionary()
USUAL_CRITICAL: Final = Critical()
