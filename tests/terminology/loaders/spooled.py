"""What a loader makes of files, read back from its spool."""

import json
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from terminology.loaders.recognise import releases
from terminology.loaders.release import Options, Release
from terminology.loaders.report import Report
from terminology.loaders.spool import Spool

RF2 = {
    "concept": "id effectiveTime active moduleId definitionStatusId",
    "description": "id effectiveTime active moduleId conceptId languageCode typeId term"
    " caseSignificanceId",
    "relationship": "id effectiveTime active moduleId sourceId destinationId relationshipGroup"
    " typeId characteristicTypeId modifierId",
}


@dataclass
class Read:
    report: Report
    resource: dict[str, Any]
    concepts: dict[str, tuple[str | None, bool, bool]] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    edges: set[tuple[str, str]] = field(default_factory=set)
    properties: set[tuple[str, str, Any]] = field(default_factory=set)
    groups: set[tuple[str, str, int]] = field(default_factory=set)
    designations: set[tuple[str, str | None, str | None, str]] = field(default_factory=set)
    members: set[tuple[str, str, str | None]] = field(default_factory=set)
    fields: list[Any] = field(default_factory=list)
    searched: set[tuple[str, str]] = field(default_factory=set)

    def values(self, code: str) -> set[tuple[str, Any]]:
        return {(name, value) for one, name, value in self.properties if one == code}


def write(folder: Path, name: str, *lines: str, encoding: str = "utf-8") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode(encoding))
    return path


def tabs(*fields: object) -> str:
    return "\t".join(str(one) for one in fields)


def csv(*fields: str) -> str:
    return ",".join(f'"{one}"' for one in fields)


def release_of(*paths: Path, **options: Any) -> Release:
    (found,) = releases(list(paths), Options(**options))
    assert isinstance(found, Release)
    return found


def read(*paths: Path, **options: Any) -> Read:
    found = release_of(*paths, **options)
    with closing(Spool()) as spool:
        for _ in found.fill(spool):
            pass
        return back(found, spool)


def back(found: Release, spool: Spool) -> Read:
    codes = {number: code for code, number in spool.codes.numbers.items()}
    names = [one["code"] for one in spool.properties]
    uses = [one["code"] for one in spool.uses]
    done = Read(found.report, found.resource)
    for cid, code, display, definition, active, abstract, *_ in _rows(spool, "concept"):
        assert codes[int(cid)] == code
        done.concepts[code] = (display, active == "t", abstract == "t")
        if definition:
            done.definitions[code] = definition
    for child, parent in zip(spool.children, spool.parents, strict=True):
        done.edges.add((codes[child], codes[parent]))
    for cid, other, prop, group, *values in _rows(spool, "property"):
        value: Any = codes[int(other)] if other else next(one for one in values if one is not None)
        done.properties.add((codes[int(cid)], names[int(prop)], value))
        done.groups.add((codes[int(cid)], names[int(prop)], int(group)))
    for cid, language, use, term, *rest in _rows(spool, "designation"):
        name = uses[int(use)] if use else None
        done.designations.add((codes[int(cid)], language, name, term))
        done.fields.append((term, *rest))
    for refset, cid, _, target, fields in _rows(spool, "refset_member"):
        done.members.add((codes[int(refset)], codes[int(cid)], target))
        done.fields.append(json.loads(fields) if fields else None)
    for cid, _, folded, _ in _rows(spool, "search_text"):
        done.searched.add((codes[int(cid)], folded))
    return done


def _rows(spool: Spool, table: str) -> list[list[Any]]:
    text = b"".join(spool.lines(table)).decode()
    return [
        [None if one == "\\N" else one for one in line.split("\t")] for line in text.splitlines()
    ]
