"""What mapping needs of a profile, made of its file and of the maps that are stored."""

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Any

from adapters.hl7.mapping.context import Profile
from adapters.hl7.mapping.sender_rules import (
    Codes,
    Condition,
    Critical,
    CriticalRule,
    Dictionary,
    LocalExtension,
    QcRule,
    Quirk,
    Translation,
    Trust,
)
from adapters.hl7.profiles import model
from adapters.hl7.profiles.model import EXTENSIBLE, SourceProfile, place_of, target_of
from adapters.hl7.profiles.patterns import compiled
from adapters.hl7.profiles.read import Loaded

UNIT_FIELD = "OBX-6"


def compose(
    usual: Profile, loaded: Loaded | None, stored: Mapping[str, Codes], *, hold: bool
) -> Profile:
    """Return the sender's profile: what its file says, over what is usual on this server.

    `stored` are the translations of ConceptMaps by field, which win over those of the
    file; `hold` is whether the server holds messages with codes that nobody translated.
    """
    if loaded is None:
        return dataclasses.replace(usual, dictionary=_dictionary(None, stored, hold=hold))
    said = loaded.profile
    systems = {name: one.system for name, one in said.authorities.items()}
    changes: dict[str, Any] = {
        name: value for name, value in dict(said.mapping).items() if value is not None
    }
    changes |= {
        "sender": loaded.sender,
        "zone": _zone(usual, said),
        "authorities": {**usual.authorities, **systems},
        "assigners": {
            **usual.assigners,
            **{one.system: one.assigner for one in said.authorities.values() if one.assigner},
        },
        "trust": {**usual.trust, **_trust(said)},
        "dictionary": _dictionary(said, stored, hold=hold),
        "quirks": tuple(quirks(said)),
        "extensions": tuple(_extensions(said)),
        "qc": qc_rules(said),
        "critical": critical(usual.critical, said.critical),
        "label": loaded.label,
    }
    return dataclasses.replace(usual, **changes)


def qc_rules(said: SourceProfile) -> tuple[QcRule, ...]:
    """Return the sender's signs of quality control."""
    return tuple(QcRule(place_of(one.at), compiled(one.matches)) for one in said.qc)


def _zone(usual: Profile, said: SourceProfile) -> tzinfo:
    return said.time.tz or usual.zone


def _trust(said: SourceProfile) -> dict[str, Trust]:
    return {one.system: one.trust for one in said.authorities.values()}


def _dictionary(
    said: SourceProfile | None, stored: Mapping[str, Codes], *, hold: bool
) -> Dictionary:
    """Return the translations; a unit's map is of OBX-6."""
    fields: dict[str, dict[tuple[str, str], tuple[Translation, ...]]] = {}
    units: dict[str, str] = {}
    if said is not None:
        fields |= {
            field: {("", code): (_translation(to),) for code, to in codes.items()}
            for field, codes in said.codes.items()
        }
        units |= said.units
    for place, found in stored.items():
        if place == UNIT_FIELD:
            units |= {code: meant[0].code if meant else "" for (_, code), meant in found.items()}
        else:
            fields[place] = {**fields.get(place, {}), **found}
    usual = Dictionary()
    unmapped = said.unmapped if said is not None else model.Unmapped()
    return Dictionary(
        fields=fields,
        unit_codes=units,
        unit_defaults=said.unit_defaults if said is not None else {},
        asked=usual.asked if unmapped.fields is None else frozenset(unmapped.fields),
        hold=hold if unmapped.policy is None else unmapped.policy == "hold",
    )


def _translation(text: str) -> Translation:
    return Translation(*target_of(text))


def quirks(said: SourceProfile) -> Iterator[Quirk]:
    """Yield the corrections of a profile: those of its file in their order, then its tables."""
    for one in said.quirks:
        if one.do == "extension":
            continue
        when = Condition(place_of(one.when), compiled(one.matches)) if one.when else None
        yield Quirk(
            one.do,
            place_of(one.to or one.at),
            source=place_of(one.source) if one.source else None,
            value=one.value,
            overwrite=one.overwrite,
            when=when,
        )
    for table, codes in said.tables.items():
        for place in EXTENSIBLE[table]:
            yield Quirk("table", place, codes=codes)


def _extensions(said: SourceProfile) -> Iterator[LocalExtension]:
    for one in said.quirks:
        if one.do == "extension":
            yield LocalExtension(place_of(one.at), one.resource, one.url, one.type)


def critical(usual: Critical, said: model.Criticals) -> Critical:
    """Return what is critical: what the profile says, else what is usual; 0 percent is off."""
    changes: dict[str, Any] = {}
    if said.codes is not None:
        changes["codes"] = frozenset(said.codes)
    for name in ("above_percent", "below_percent"):
        value = getattr(said, name)
        if value is not None:
            changes[name] = value or None
    if said.recipient is not None:
        changes["recipient"] = said.recipient
    rules = tuple(CriticalRule(**dict(one)) for one in said.values)
    return dataclasses.replace(usual, rules=(*rules, *usual.rules), **changes)
