"""What roles may do, as data.

The table that Sangam ships is role_table.toml, which explains its fields; a tenant replaces
roles of it.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.resources import files

import msgspec

from fhir_server.access import scopes, type_sets
from fhir_server.errors import BadRequest
from fhir_server.rights import ANY, LETTERS

CARE, WARD, OWN = "care", "ward", "own"
"""Reasons that every table knows."""

USER = "{user}"
"""Stands for the reference of who asks."""

TREATMENT = "TREAT"
"""What records are asked for where a role says nothing else."""

_CLEARANCES = "ULMNRV"
_PURPOSE = re.compile(r"[A-Z]{2,16}")
_ALWAYS_SHOWN = frozenset(
    ("contained", "extension", "id", "implicitRules", "meta", "modifierExtension", "resourceType")
)
_DELETABLE = type_sets.DIRECTORY | type_sets.DEFINITIONS | {"Subscription"}
_SETS: Mapping[str, Collection[str]] = {
    "directory": type_sets.DIRECTORY,
    "definitions": type_sets.DEFINITIONS,
}


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Letters for types, where parameters match, because of one of the reasons.

    `becoming` is what an update may make of what matched `where`. `without` are elements and
    extensions that are not shown, as `rights.Grant` has them.
    """

    types: tuple[str, ...]
    letters: str
    where: str = ""
    because: tuple[str, ...] = ()
    becoming: str = ""
    released: bool = False
    reported: bool = False
    unless: str = ""
    without: tuple[str, ...] = ()


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a role may do, and what is asked of who has it.

    Who has one that `delegates` may register services with rights that they have not; `purpose`
    is a code of v3-PurposeOfUse.
    """

    title: str
    grants: tuple[Rule, ...] = ()
    staff: bool = True
    clearance: str = "N"
    sensitivities: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()
    break_glass: tuple[str, ...] = ()
    delegates: bool = False
    purpose: str = TREATMENT


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the patient also has a resource of this type for which the parameters match."""

    type: str
    where: str


class RoleTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Roles by name, and the reasons and sets of types that they speak of."""

    version: int
    sets: Mapping[str, tuple[str, ...]]
    reasons: Mapping[str, Reason]
    roles: Mapping[str, Role]

    def types(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return types with the sets (`@name`) among them spelled out, each once."""
        spelled = (one for name in names for one in self._spelled(name))
        return tuple(dict.fromkeys(spelled))

    def _spelled(self, name: str) -> Iterable[str]:
        if not name.startswith("@"):
            return (name,)
        return self.sets.get(name[1:]) or sorted(_SETS[name[1:]])

    def replacing(self, roles: Mapping[str, Role]) -> "RoleTable":
        """Return the table with these roles in place of those of the same names, or besides."""
        return msgspec.structs.replace(self, roles={**self.roles, **roles})


@cache
def shipped() -> RoleTable:
    """Return the table that comes with Sangam."""
    text = files("fhir_server.access").joinpath("role_table.toml").read_bytes()
    return msgspec.toml.decode(text, type=RoleTable)


def read(text: bytes) -> Role:
    """Return a role written in TOML; BadRequest says what is wrong with it."""
    try:
        return msgspec.toml.decode(text, type=Role)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadRequest(f"This is no role: {error}") from error


def written(role: Role) -> bytes:
    """Return a role in TOML, as `read` takes it."""
    lines = [f"title = {_text(role.title)}", f"clearance = {_text(role.clearance)}"]
    if not role.staff:
        lines.append("staff = false")
    if role.delegates:
        lines.append("delegates = true")
    if role.purpose != TREATMENT:
        lines.append(f"purpose = {_text(role.purpose)}")
    names = ("sensitivities", "operator", "break_glass")
    lines += [f"{name} = {_texts(found)}" for name in names if (found := getattr(role, name))]
    for rule in role.grants:
        lines += ["", "[[grants]]", *_rule_lines(rule)]
    return ("\n".join(lines) + "\n").encode()


def _rule_lines(rule: Rule) -> Iterable[str]:
    yield f"types = {_texts(rule.types)}"
    yield f"letters = {_text(rule.letters)}"
    if rule.where:
        yield f"where = {_text(rule.where)}"
    if rule.becoming:
        yield f"becoming = {_text(rule.becoming)}"
    if rule.because:
        yield f"because = {_texts(rule.because)}"
    if rule.released:
        yield "released = true"
    if rule.reported:
        yield "reported = true"
    if rule.unless:
        yield f"unless = {_text(rule.unless)}"
    if rule.without:
        yield f"without = {_texts(rule.without)}"


def _text(text: str) -> str:
    """Return a basic string: JSON's escapes are TOML's too."""
    return msgspec.json.encode(text).decode()


def _texts(found: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, found))}]"


def faults(table: RoleTable, role: Role, types: Collection[str], flags: Collection[str]) -> str:
    """Return the first thing that is wrong with a role, empty when nothing is.

    `types` are the resource types there are, `flags` the settings that a rule may name.
    """
    found = [_fault(table, rule, types, flags) for rule in role.grants]
    found += [
        f"{name} is no operator scope" for name in role.operator if name not in scopes.OPERATORS
    ]
    found.append(_unknown(table, role.break_glass, types))
    if ANY in role.break_glass:
        found.append("break_glass names the types that may be read")
    if len(role.clearance) != 1 or role.clearance not in _CLEARANCES:
        found.append(f"clearance is one of {', '.join(_CLEARANCES)}")
    if not _PURPOSE.fullmatch(role.purpose):
        found.append("purpose is a code of v3-PurposeOfUse, as TREAT")
    return next(filter(None, found), "")


def is_within(role: Role, other: Role) -> bool:
    """Return whether a role surely gives nothing that another does not.

    A rule that is not word for word in the other may give more.
    """
    parts = ("grants", "sensitivities", "operator", "break_glass")
    return (
        all({*getattr(role, one)} <= {*getattr(other, one)} for one in parts)
        and _CLEARANCES.index(role.clearance) <= _CLEARANCES.index(other.clearance)
        and (role.staff or not other.staff)
        and role.delegates <= other.delegates
        and role.purpose == other.purpose
    )


def _fault(table: RoleTable, rule: Rule, types: Collection[str], flags: Collection[str]) -> str:
    if fault := _unknown(table, rule.types, types) or _letters_fault(table, rule):
        return fault
    if rule.becoming and rule.letters != "u":
        return "becoming is of updates: letter u alone"
    if any(one and scopes.pairs(one) is None for one in (rule.where, rule.becoming)):
        return "where has search parameters, without chains and without modifiers but :in"
    reasons = {*table.reasons, CARE, WARD, OWN}
    if unknown := [one for one in rule.because if one not in reasons]:
        return f"{unknown[0]} is no reason: there are {', '.join(sorted(reasons))}"
    if rule.unless and rule.unless not in flags:
        return f"unless names one of {', '.join(sorted(flags))}"
    return _without_fault(table, rule)


def _without_fault(table: RoleTable, rule: Rule) -> str:
    if not rule.without:
        return ""
    if not set(rule.letters) <= set("rs"):
        return "what is shown in part is not written: letters r and s alone"
    if not {"Binary", ANY}.isdisjoint(table.types(rule.types)):
        return "a Binary is not shown in part"
    if not _ALWAYS_SHOWN.isdisjoint(rule.without):
        return f"always shown are {', '.join(sorted(_ALWAYS_SHOWN))}"
    return ""


def _letters_fault(table: RoleTable, rule: Rule) -> str:
    if not rule.letters or not set(rule.letters) <= set(LETTERS):
        return f"letters are some of {LETTERS}"
    if "d" in rule.letters and not set(table.types(rule.types)) <= _DELETABLE:
        return "nobody deletes what belongs to a patient: letters without d"
    return ""


def _unknown(table: RoleTable, names: Iterable[str], types: Collection[str]) -> str:
    for name in names:
        if name.startswith("@"):
            if name[1:] not in {*table.sets, *_SETS}:
                return f"{name} is no set of types"
        elif name != ANY and name not in types:
            return f"{name} is no resource type"
    return ""
