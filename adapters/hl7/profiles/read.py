"""Profiles read from TOML, and what is wrong with one that cannot be used.

https://toml.io/en/v1.0.0
"""

import difflib
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from adapters.hl7.mapping.context import slug
from adapters.hl7.profiles.model import SourceProfile

_FINGERPRINT_DIGITS: Final = 12
_LARGEST: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong: the file, the key (dotted, "" for the whole) and what to write there."""

    file: str
    key: str
    text: str

    def __str__(self) -> str:
        """Return the problem as one line."""
        return ": ".join(part for part in (self.file, self.key, self.text) if part)


class Unusable(ValueError):
    """A profile that cannot be used, with all its problems."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(one) for one in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A profile as it was read: `name` is its file's, `fingerprint` tells its content."""

    name: str
    fingerprint: str
    profile: SourceProfile
    text: str = field(repr=False)

    @property
    def sender(self) -> str:
        """The sender's name in URIs and keys."""
        return self.profile.sender or self.name

    @property
    def label(self) -> str:
        """Name, version and fingerprint, as each message's row records them."""
        return f"{self.name} {self.profile.version} {self.fingerprint}"


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profiles that serve now, by sender, and what is wrong with files beside them."""

    by_sender: Mapping[str, Loaded] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def named(self, name: str) -> Loaded | None:
        """Return the profile of this sender, else the one with this name of a file."""
        if found := self.by_sender.get(name):
            return found
        return next((one for one in self.by_sender.values() if one.name == name), None)


def read(file: str, raw: bytes) -> Loaded:
    """Return the profile in a file's bytes; raises Unusable with every problem of it."""
    name = file.removesuffix(".toml")
    if slug(name) != name:
        text = "name the file with letters, digits, and . _ ~ - only: it is part of URIs"
        raise Unusable([Problem(file, "", text)])
    if len(raw) > _LARGEST:
        raise Unusable([Problem(file, "", "the file is larger than 4 MiB")])
    try:
        text = raw.decode("utf-8")
        said = tomllib.loads(text)
    except UnicodeDecodeError:
        raise Unusable([Problem(file, "", "save the file as UTF-8")]) from None
    except tomllib.TOMLDecodeError as error:
        raise Unusable([Problem(file, "", f"this is no TOML: {error}")]) from None
    except RecursionError:
        raise Unusable([Problem(file, "", "the values are nested too deeply")]) from None
    try:
        profile = SourceProfile.model_validate(said)
    except ValidationError as error:
        raise Unusable([_problem(file, one) for one in error.errors()]) from None
    return Loaded(name, hashlib.sha256(raw).hexdigest()[:_FINGERPRINT_DIGITS], profile, text)


def together(loaded: Sequence[Loaded], problems: Sequence[Problem] = ()) -> Profiles:
    """Return the profiles as one set; the first of two with one sender is it."""
    found: dict[str, Loaded] = {}
    wrong = list(problems)
    for one in loaded:
        first = found.setdefault(one.sender, one)
        if first is not one:
            text = f"{one.sender} is the sender of {first.name}.toml already; write another name"
            wrong.append(Problem(f"{one.name}.toml", "sender", text))
    return Profiles(found, tuple(wrong))


def _problem(file: str, error: ErrorDetails) -> Problem:
    place = [part for part in error["loc"] if part != "[key]"]
    key = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place).removeprefix(".")
    return Problem(file, key, _advice(error, place))


def _advice(error: ErrorDetails, place: Sequence[int | str]) -> str:
    """Return what to write instead."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(place)
    if kind == "missing":
        return "this key is missing"
    if kind == "literal_error":
        return f"write {context['expected']}"
    if kind == "value_error":
        return str(context["error"])
    return error["msg"][:1].lower() + error["msg"][1:]


def _unknown(place: Sequence[int | str]) -> str:
    keys = _keys(SourceProfile, place[:-1])
    near = difflib.get_close_matches(str(place[-1]), keys, n=1)
    if near:
        return f"there is no such key; did you mean {near[0]}?"
    return f"there is no such key; write one of {', '.join(keys)}"


def _keys(table: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """Return the keys of the table at a place."""
    for part in place:
        inner = _inner(table, part)
        table = inner or table
    return sorted(one.alias or name for name, one in table.model_fields.items())


def _inner(table: type[BaseModel], part: int | str) -> type[BaseModel] | None:
    found = table.model_fields.get(str(part))
    return _model(found.annotation) if found is not None else None


def _model(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401  (any annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model(part))), None)
