"""Which packages an installation needs, and in which order.

https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fhir_server.errors import NotFound, SangamError
from fhir_server.packages.manifest import Manifest
from fhir_server.packages.version import best, order

BUILT_IN: Mapping[str, str] = {"hl7.fhir.r4.core": "4.0.1", "hl7.terminology.r4": "7.0.1"}
"""What is part of the server."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The packages to install, each after those it depends on.

    `met` tells for each label which version of its dependencies, by name, it was given;
    None for one that it goes without.
    """

    packages: Sequence[Manifest]
    met: Mapping[str, Mapping[str, str | None]]


@dataclass(slots=True)
class _Search:
    installed: Mapping[str, Collection[str]]
    offered: Mapping[str, Mapping[str, Manifest]]
    without: Collection[str]
    found: list[Manifest] = field(default_factory=list)
    met: dict[str, dict[str, str | None]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def visit(self, one: Manifest) -> None:
        """Add a package after all that it needs; a circle is entered once."""
        if one.label in self.met:
            return
        self.met[one.label] = {}
        for name, wanted in sorted(one.dependencies.items()):
            self.met[one.label][name] = self._met(one, name, wanted)
        self.found.append(one)

    def _met(self, one: Manifest, name: str, wanted: str) -> str | None:
        try:
            here = best(wanted, [*self.installed.get(name, ()), *_built_in(name)])
            if here is not None:
                return here
            offered = self.offered.get(name, {})
            there = best(wanted, offered)
        except SangamError as error:
            if name in self.without:
                return None
            raise type(error)(f"{one.label} depends on {name}: {error.text}") from None
        if there is not None:
            self.visit(offered[there])
            return there
        if name not in self.without:
            known = sorted({*self.installed.get(name, ()), *offered, *_built_in(name)}, key=order)
            has = f"there is {', '.join(known)}" if known else "there is none"
            self.missing.append(f"{one.label} depends on {name} {wanted}, and {has}")
        return None


def _built_in(name: str) -> Iterable[str]:
    return [BUILT_IN[name]] if name in BUILT_IN else []


def needs(
    wanted: Manifest,
    installed: Mapping[str, Collection[str]],
    offered: Iterable[Manifest],
    without: Collection[str] = (),
) -> Needs:
    """Return what is to be installed for a package, itself last.

    What is installed (versions by name) or part of the server comes before what is
    offered. NotFound names the dependencies that are nowhere, unless it is to be gone `without`
    them; BadRequest one that names no fixed version.
    """
    by_name: dict[str, dict[str, Manifest]] = {}
    for one in offered:
        by_name.setdefault(one.name, {})[one.version] = one
    by_name.setdefault(wanted.name, {})[wanted.version] = wanted
    search = _Search(installed, by_name, without)
    search.visit(wanted)
    if search.missing:
        raise NotFound("; ".join(search.missing))
    return Needs(search.found, search.met)
