"""Versions of canonical resources: order, wildcards, the latest.

https://hl7.org/fhir/R4/references.html#canonical
"""

import re
from collections.abc import Iterable

WILDCARDS = frozenset({"x", "X", "*"})
UNRELEASED = "http://snomed.info/xsct/"

SortKey = tuple[tuple[int, int, str], ...]
_CHUNK = re.compile(r"\d+|[^\d.\-_/+]+")


def split(canonical: str) -> tuple[str, str | None]:
    """Url and version of `url|version`; the version is None where there is none."""
    url, _, version = canonical.partition("|")
    return url, version or None


def join(url: str, version: str | None) -> str:
    """`url|version`, or the url alone."""
    return f"{url}|{version}" if version else url


def is_wildcard(pattern: str) -> bool:
    """True when a part of the dotted version is `x` or `*`; `1` alone is none."""
    return any(part in WILDCARDS for part in pattern.split("."))


def matches(pattern: str, version: str | None) -> bool:
    """True when the version is the pattern or an instance of its wildcards.

    A wildcard as the last part covers whatever follows: `1.x` covers `1.2.3`.
    """
    if version is None:
        return False
    if pattern == version or version.startswith(f"{pattern}/version/"):
        # A SNOMED CT edition covers its versions (http://snomed.info/sct/<edition>).
        return True
    if not is_wildcard(pattern):
        return False
    wanted, given = pattern.split("."), version.split(".")
    if len(given) < len(wanted) or (len(given) > len(wanted) and wanted[-1] not in WILDCARDS):
        return False
    return all(w in WILDCARDS or w == g for w, g in zip(wanted, given, strict=False))


def order(version: str | None, algorithm: str | None = None) -> tuple[SortKey, bool, SortKey]:
    """A sort key: numbers as numbers, letters as letters, no version first.

    With `semver` a pre-release (`1.0.0-rc1`) precedes its release, and what SNOMED CT has not
    released (`http://snomed.info/xsct/…`) precedes what it has.
    """
    if version is None:
        return (), False, ()
    if version.startswith(UNRELEASED):
        return (), True, _natural(version)
    if algorithm == "semver":
        release, _, pre = version.partition("+")[0].partition("-")
        return _natural(release), not pre, _natural(pre)
    return _natural(version), True, ()


def _natural(text: str) -> SortKey:
    chunks = _CHUNK.findall(text)
    return tuple((1, int(c), "") if c.isdigit() else (0, 0, c.lower()) for c in chunks)


def latest(versions: Iterable[str | None], algorithm: str | None = None) -> str | None:
    """The highest of the versions; None when there is none, or only None."""
    return max(versions, key=lambda version: order(version, algorithm), default=None)
