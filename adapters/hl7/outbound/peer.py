"""What a destination understands: its codes, units, authorities and form.

The agreements of its profile, read backwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final

from adapters.hl7.mapping.code_tables import OIDS, SYSTEMS, THO
from adapters.hl7.outbound.er7 import Encoding
from adapters.hl7.profiles.destination import Outbound
from adapters.hl7.profiles.model import SourceProfile, target_of

_NAMES: Final = {url: name for name, url in reversed(SYSTEMS.items())}
_OIDS: Final = {url: oid for oid, url in OIDS.items()}
# The names that the mapping gives where no authority was sent.
_LEVELS: Final = "point-of-care room bed facility building floor location"
_NO_AUTHORITY: Final = frozenset(
    f"""{_LEVELS} patient practitioner organization visit account order placer filler group
    specimen-plac specimen-fill specimen observation container accession person device""".split()
)
_HL7_TABLE: Final = f"{THO}v2-"


@dataclass(frozen=True, slots=True)
class Peer:
    """A destination: its settings, and what it calls things.

    `authorities` gives the namespace of an identifier system, `codes` for (system, code)
    its (code, text, coding system), `units` its spelling of a UCUM code, `tables` by
    table its code for ours; `base` begins the systems that were made here.
    """

    name: str
    base: str
    settings: Outbound
    zone: tzinfo | None = None
    authorities: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[tuple[str, str], tuple[str, str, str]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def encoding(self) -> Encoding:
        """The delimiters and the codec."""
        return Encoding(self.settings.delimiters, self.settings.codec)

    @property
    def version(self) -> tuple[int, ...]:
        """The version as numbers."""
        return tuple(int(part) for part in self.settings.version.split("."))

    def is_ours(self, system: str) -> bool:
        """Whether a system is that of keys made here, which mean nothing elsewhere."""
        return (
            system.startswith(f"{self.base}/hl7/")
            and system.count("/hl7/") == 1
            and (system.endswith(("/hl7/key", "/hl7/awos")))
        )

    def authority(self, system: str) -> tuple[str, str, str]:
        """Return HD of an identifier system: namespace, universal id and its type."""
        if not system:
            return ("", "", "")
        if named := self.authorities.get(system):
            return (named, "", "")
        local = _local(system, self.base, "ids")
        if local is not None:
            return ("", "", "") if local in _NO_AUTHORITY else (local, "", "")
        if oid := _OIDS.get(system):
            return ("", oid, "ISO")
        for start, kind in (("urn:oid:", "ISO"), ("urn:uuid:", "UUID"), ("urn:dns:", "DNS")):
            if system.startswith(start):
                return ("", system.removeprefix(start), kind)
        return ("", system, "URI")

    def coding_system(self, system: str) -> str:
        """Return the name of a code system in table 0396, `L` for local ones."""
        if system in _NAMES:
            return _NAMES[system]
        if system == f"{THO}v3-ObservationInterpretation":
            return "HL70078"
        if system.startswith(_HL7_TABLE):
            return f"HL7{system.removeprefix(_HL7_TABLE)}"
        if system.startswith("urn:oid:"):
            return system.removeprefix("urn:oid:")
        local = _local(system, self.base, "codes")
        return local if local is not None and local.startswith("99") else "L"


def _local(system: str, base: str, room: str) -> str | None:
    """Return the name of a system that was made for a sender, None for others."""
    if not system.startswith(f"{base}/hl7/"):
        return None
    parts = system.removeprefix(f"{base}/hl7/").split("/")
    return parts[2] if parts[1:2] == [room] and len(parts) == 3 else None  # noqa: PLR2004


def peer_of(name: str, base: str, profile: SourceProfile, authorities: Mapping[str, str]) -> Peer:
    """Return the destination of a profile; `authorities` are those of the settings."""
    assert profile.outbound is not None
    known = {**authorities, **{key: one.system for key, one in profile.authorities.items()}}
    codes: dict[tuple[str, str], tuple[str, str, str]] = {}
    for table in profile.codes.values():
        for local, target in table.items():
            system, code, display = target_of(target)
            codes.setdefault((system, code), (local, display, "L"))
    for coding, said in profile.outbound.codes.items():
        system, _, code = coding.rpartition("|")
        own, text, kind = (*said.split("^"), "", "")[:3]
        codes[(system, code)] = (own, text, kind or "L")
    return Peer(
        name=name,
        base=base,
        settings=profile.outbound,
        zone=profile.time.tz,
        authorities={system: key for key, system in reversed(known.items())},
        codes=codes,
        units={ucum: spelt for spelt, ucum in reversed(profile.units.items())},
        tables={
            table: {ours: theirs for theirs, ours in reversed(codes.items())}
            for table, codes in profile.tables.items()
        },
    )
