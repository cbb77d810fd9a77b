"""A release that was read: its metadata and its rows, and what the reader was asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from terminology.concepts import Json
from terminology.loaders.delimited import Table
from terminology.loaders.report import Progress, Report, silent
from terminology.loaders.sources import SourceFile
from terminology.loaders.spool import Spool


@dataclass(frozen=True, slots=True)
class Found:
    """A file with its beginning and, where it is one, as a table."""

    file: SourceFile
    head: bytes
    table: Table | None


@dataclass(frozen=True, slots=True)
class Options:
    """What the files do not say, or what is wanted instead of what they say."""

    version: str | None = None
    url: str | None = None
    language_refset: str | None = None
    """SNOMED CT: the language reference set whose preferred synonyms are the displays."""
    progress: Progress = silent


@dataclass(slots=True)
class Release:
    """One version of a code system.

    `resource` is the CodeSystem without concepts; `fill` reads the files into the spool, and
    yields the name of each table as soon as all its rows are there (the others follow at the
    end). `licence` is what the user must have accepted.
    """

    resource: Json
    files: Sequence[SourceFile]
    fill: Callable[[Spool], Iterator[str]]
    report: Report = field(default_factory=Report)
    licence: str | None = None

    @property
    def canonical(self) -> str:
        """`url|version`."""
        return f"{self.resource['url']}|{self.resource['version']}"


@dataclass(frozen=True, slots=True)
class Resources:
    """CodeSystem, ValueSet and ConceptMap resources, to be stored as they are."""

    name: str
    resources: Iterable[Json]
    report: Report = field(default_factory=Report)
    licence: str | None = None


def code_system(url: str, version: str, name: str, title: str, **more: object) -> Json:
    """The CodeSystem resource of a release."""
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "version": version,
        "name": name,
        "title": title,
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
        **more,
    }
