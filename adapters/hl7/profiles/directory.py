"""The directory of profiles: read again when a file changes, the last good ones kept."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapters.hl7.profiles.read import Loaded, Problem, Profiles, Unusable, read, together

_log = logging.getLogger(__name__)

Stamp = tuple[int, int, int]
"""Time of change, size and inode of a file."""


@dataclass(slots=True)
class File:
    """A file as it was last read: the profile that serves for it, and what is wrong with it."""

    stamp: Stamp
    loaded: Loaded | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class Directory:
    """The profiles of a directory, "" for none; `files` are by name without ending."""

    path: str
    files: dict[str, File] = field(default_factory=dict)
    profiles: Profiles = field(default_factory=Profiles)
    missing: bool = False

    def scan(self) -> frozenset[str]:
        """Read what has changed; return the names of the files that came, changed or went."""
        if not self.path:
            return frozenset()
        found = self._stamps()
        if found is None:
            return frozenset()
        changed = {name for name, stamp in found.items() if self._is_new(name, stamp)}
        gone = self.files.keys() - found.keys()
        for name in sorted(changed):
            self._read(name, found[name])
        for name in sorted(gone):
            _log.warning("The profile %s is gone", name)
            del self.files[name]
        if changed or gone:
            self.gather()
        return frozenset(changed | gone)

    def gather(self) -> None:
        """Make the set of profiles of what the files have."""
        files = [self.files[name] for name in sorted(self.files)]
        problems = [problem for one in files for problem in one.problems]
        self.profiles = together([one.loaded for one in files if one.loaded], problems)

    def _stamps(self) -> Mapping[str, Stamp] | None:
        """Return the files; None where the directory cannot be read: what serves goes on."""
        found = {}
        try:
            with os.scandir(self.path) as entries:
                for one in entries:
                    if one.name.endswith(".toml") and not one.name.startswith("."):
                        at = one.stat()
                        stamp = (at.st_mtime_ns, at.st_size, at.st_ino)
                        found[one.name.removesuffix(".toml")] = stamp
        except OSError as error:
            if not self.missing:
                _log.error("The profiles cannot be read (%s)", error.strerror)
            self.missing = True
            return None
        self.missing = False
        return found

    def _is_new(self, name: str, stamp: Stamp) -> bool:
        return name not in self.files or self.files[name].stamp != stamp

    def _read(self, name: str, stamp: Stamp) -> None:
        before = self.files.get(name)
        file = f"{name}.toml"
        problems: tuple[Problem, ...]
        try:
            loaded = read(file, (Path(self.path) / file).read_bytes())
        except OSError as error:
            problems = (Problem(file, "", f"the file cannot be read ({error.strerror})"),)
        except Unusable as unusable:
            problems = unusable.problems
        else:
            self.files[name] = File(stamp, loaded)
            _log.info("The profile %s serves", loaded.label)
            return
        serving = before.loaded if before else None
        self.files[name] = File(stamp, serving, problems)
        told = f"{serving.label} serves on" if serving else "it does not serve"
        for problem in problems:
            _log.error("Profile %s (%s)", problem, told)
