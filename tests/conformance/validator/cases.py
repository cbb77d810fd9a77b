"""The cases of the suite: what each judges, by what, and what came of it."""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_server.config import Limits
from fhir_server.errors import SangamError
from fhir_server.r4 import json as r4_json
from fhir_server.r4.definitions import Definitions
from fhir_server.r4.xml.read import from_xml

ERRORS = frozenset(("error", "fatal"))


@dataclass(frozen=True)
class Judgement:
    """One recorded judging: by the profile in a file, or by none; `valid` is the record's."""

    profile: str | None
    valid: bool
    says: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    name: str
    file: str
    module: str
    around: tuple[str, ...]
    packages: tuple[str, ...]
    judgements: tuple[Judgement, ...]
    manifest: Mapping[str, Any]

    @property
    def needs_package(self) -> bool:
        """Whether it names a package that does not come with the suite."""
        return any(not one.endswith(".tgz") for one in self.packages)


def cases(folder: Path) -> list[Case]:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    return [_case(folder, one) for one in manifest["test-cases"]]


def _case(folder: Path, one: dict[str, Any]) -> Case:
    profile = one.get("profile", {})
    judgements = [_judgement(folder, None, one.get("java"))]
    if "source" in profile:
        judgements.append(_judgement(folder, profile["source"], profile.get("java")))
    around = [
        *one.get("supporting", ()),
        *one.get("supporting5", ()),
        *one.get("profiles", ()),
        *profile.get("supporting", ()),
        *profile.get("profiles", ()),
    ]
    return Case(
        name=one["name"],
        file=one["file"],
        module=one.get("module", ""),
        around=tuple(dict.fromkeys(around)),
        packages=(*one.get("packages", ()), *profile.get("packages", ())),
        judgements=tuple(found for found in judgements if found),
        manifest=one,
    )


def _judgement(folder: Path, profile: str | None, recorded: Any) -> Judgement | None:
    if isinstance(recorded, str):
        place = folder / "outcomes" / recorded
        recorded = json.loads(place.read_bytes()) if place.exists() else None
    if isinstance(recorded, dict) and "outcome" in recorded:
        recorded = recorded["outcome"]
    if not isinstance(recorded, dict) or "resourceType" not in recorded:
        return None
    says = tuple(
        f"{issue['code']} @ {','.join(issue.get('expression', ()))}: "
        f"{issue.get('details', {}).get('text', '')}"
        for issue in recorded.get("issue", ())
        if issue["severity"] in ERRORS
    )
    return Judgement(profile, not says, says)


def read(definitions: Definitions, place: Path) -> dict[str, Any] | SangamError:
    """Return a decoded resource, or why it cannot be read."""
    raw = place.read_bytes()
    try:
        if place.suffix == ".xml":
            return from_xml(definitions, raw, Limits())
        found = r4_json.decode(raw)
    except SangamError as refused:
        return refused
    return found


def packaged(folder: Path, packages: Iterable[str]) -> list[dict[str, Any]]:
    """Return the resources of the packages that come with the suite."""
    found = []
    for package in packages:
        if not package.endswith(".tgz"):
            continue
        with tarfile.open(fileobj=io.BytesIO((folder / package).read_bytes())) as tar:
            for member in tar:
                content = tar.extractfile(member)
                name = member.name.rpartition("/")[2]
                if content is None or not name.endswith(".json") or name.startswith("."):
                    continue
                resource = json.loads(content.read())
                if isinstance(resource, dict) and "resourceType" in resource:
                    found.append(resource)
    return found
