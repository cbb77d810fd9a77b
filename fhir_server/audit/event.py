"""AuditEvents of a record, one for each patient whom it concerns.

https://profiles.ihe.net/ITI/BALP/content.html
https://hl7.org/fhir/R4/auditevent.html
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from fhir_server.audit.happening import HAPPENINGS
from fhir_server.audit.peers import QUERIES
from fhir_server.audit.record import SUCCESS, Record, Who

Json: TypeAlias = dict[str, Any]

DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
PROFILES: Final = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_RESTFUL: Final = "http://hl7.org/fhir/restful-interaction"
_OPERATION: Final = "urn:sangam:operation"
_ENTITY_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
_AGENT_TYPES: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes"
_ENTITY_TYPES: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
_PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_CUSTODIAN: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_PURPOSE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_JTI: Final = "urn:ietf:params:oauth:jti:"
_URI: Final = "urn:ietf:rfc:3986"

_IP, _NAME, _URL = "2", "1", "5"
"""Kinds of network address (network-type)."""

_SOURCE: Final = {"system": DCM, "code": "110153", "display": "Source Role ID"}
_DESTINATION: Final = {"system": DCM, "code": "110152", "display": "Destination Role ID"}
_APPLICATION: Final = {"system": DCM, "code": "110150", "display": "Application"}
_REST: Final = {"system": _TYPE, "code": "rest", "display": "RESTful Operation"}
_MESSAGE: Final = {"system": DCM, "code": "110112", "display": "Query"}
"""The type of what was asked by a message (PS3.15, A.5.3.10)."""

_METHODS: Final = {1: "create", 2: "update", 3: "delete", 4: "patch"}
_CREATED: Final = 1


@dataclass(frozen=True, slots=True)
class Kind:
    """A pattern of BALP: its name in the profiles, action, and the client's and server's roles.

    `person` is the role of a person; `query` says that the event has the query, not what
    was found.
    """

    profile: str
    action: str
    client: Json
    server: Json
    person: str
    query: bool = False


_CREATE: Final = Kind("Create", "C", _SOURCE, _DESTINATION, "INF")
_UPDATE: Final = Kind("Update", "U", _SOURCE, _DESTINATION, "INF")
_READ: Final = Kind("Read", "R", _DESTINATION, _SOURCE, "IRCP")
_QUERY: Final = Kind("Query", "E", _SOURCE, _DESTINATION, "IRCP", query=True)
_DELETE: Final = Kind(
    "Delete",
    "D",
    _APPLICATION,
    {"system": _CUSTODIAN, "code": "custodian", "display": "Custodian"},
    "INF",
)
_KINDS: Final = {
    "create": _CREATE,
    "update": _UPDATE,
    "patch": _UPDATE,
    "delete": _DELETE,
    "read": _READ,
    "vread": _READ,
    "history-instance": _READ,
    "batch": _READ,
}

Patients: TypeAlias = Mapping[str, Sequence[str]]
"""From `Type/id` to the ids of the patients whom that resource is of."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How events are made: the server's base URL, and how much one event may name."""

    base: str
    patients: int
    entities: int


def events(manner: Manner, record: Record, at: datetime, patients: Patients) -> list[Json]:
    """Return the AuditEvents of what happened at a time; `patients` of all that it names."""
    if record.happening is not None:
        return [_happened(manner, record, at)]
    if not record.writes:
        data = [_literal(*place) for place in record.places]
        return _of(manner, record, record.code, at, data, patients)
    found: list[Json] = []
    groups: dict[str, list[str]] = {}
    for method, type_name, id_, version in record.writes:
        code = "create" if version == _CREATED else _METHODS[method]
        groups.setdefault(code, []).append(_literal(type_name, id_, version))
    for code, data in groups.items():
        found += _of(manner, record, code, at, data, patients)
    return found


def _literal(type_name: str, id_: str, version: int) -> str:
    return f"{type_name}/{id_}/_history/{version}" if version else f"{type_name}/{id_}"


def _plain(literal: str) -> str:
    return literal.partition("/_history/")[0]


def _of(
    manner: Manner,
    record: Record,
    code: str,
    at: datetime,
    data: Sequence[str],
    patients: Patients,
) -> list[Json]:
    """Return the events of one interaction: one for each patient, or for many together."""
    kind = _KINDS.get(code, _QUERY)
    groups: dict[str | None, list[str]] = {}
    for literal in data:
        for patient in patients.get(_plain(literal)) or (None,):
            groups.setdefault(patient, []).append(literal)
    if kind.query:
        groups = {patient: groups[patient] for patient in groups if patient is not None}
        groups = groups or {None: []}
    if len(groups) > manner.patients:
        return _of_many(manner, record, code, at, groups)
    made = []
    for patient, literals in groups.items() or [(None, [])]:
        named = [] if kind.query else literals
        for piece in _pieces(named, manner.entities):
            who = [] if patient is None else [patient]
            made.append(_event(manner, record, code, at, who, piece))
    return made


def _of_many(
    manner: Manner,
    record: Record,
    code: str,
    at: datetime,
    groups: Mapping[str | None, Sequence[str]],
) -> list[Json]:
    """Return events that several patients share, with what of theirs was touched."""
    kind, made = _KINDS.get(code, _QUERY), []
    for some in _pieces(list(groups), manner.entities):
        who = [patient for patient in some if patient is not None]
        literals = [] if kind.query else dict.fromkeys(one for p in some for one in groups[p])
        for n, piece in enumerate(_pieces(literals, manner.entities)):
            made.append(_event(manner, record, code, at, who if n == 0 else [], piece))
    return made


def _pieces(values: Iterable[Any], size: int) -> list[list[Any]]:
    rest = iter(values)
    found = []
    while piece := list(islice(rest, size)):
        found.append(piece)
    return found or [[]]


def _event(
    manner: Manner,
    record: Record,
    code: str,
    at: datetime,
    patients: Sequence[str],
    data: Sequence[str],
) -> Json:
    kind = _KINDS.get(code, _QUERY)
    entities = [_patient(one) for one in patients]
    entities += [_data(literal) for literal in data]
    if record.query is not None:
        entities.append(_query(record.query.encode()))
    if record.asked is not None:
        entities.append(_query(record.asked))
    if record.request and kind is not _DELETE:
        # The profile of deletions allows no further entity.
        entities.append(_request(record.request))
    event = _begun([QUERIES[code]], _MESSAGE) if code in QUERIES else _begun(_rest(code), _REST)
    if profile := _profile(kind, record, patients, data):
        event["meta"] = {"profile": [profile]}
    event |= _circumstances(record, kind.action, at)
    event["agent"] = _agents(manner, kind, record.who)
    event["source"] = {"observer": {"display": "Sangam", "identifier": _identified(manner.base)}}
    if entities:
        event["entity"] = entities
    return event


def _begun(subtypes: Sequence[Json], type_: Json) -> Json:
    return {"resourceType": "AuditEvent", "meta": {}, "type": type_, "subtype": list(subtypes)}


def _rest(code: str) -> list[Json]:
    if code.startswith("$"):
        operation = {"system": _OPERATION, "code": code[1:]}
        return [{"system": _RESTFUL, "code": "operation", "display": "operation"}, operation]
    return [{"system": _RESTFUL, "code": code, "display": code}]


def _profile(
    kind: Kind, record: Record, patients: Sequence[str], data: Sequence[str]
) -> str | None:
    """Return the profile that the event meets; those of BALP are of one thing that succeeded."""
    wanted = 0 if kind.query else 1
    if record.outcome != SUCCESS or len(patients) > 1 or len(data) != wanted:
        return None
    if kind.query and record.query is None:
        return None
    return f"{PROFILES}{'Patient' if patients else ''}{kind.profile}"


def _circumstances(record: Record, action: str, at: datetime) -> Json:
    said: Json = {"action": action, "recorded": at.isoformat(), "outcome": str(record.outcome)}
    if record.detail:
        said["outcomeDesc"] = record.detail
    if record.who.purpose:
        said["purposeOfEvent"] = [{"coding": [{"system": _PURPOSE, "code": record.who.purpose}]}]
    return said


def _agents(manner: Manner, kind: Kind, who: Who) -> list[Json]:
    host = urlsplit(manner.base).hostname or "localhost"
    is_delete = kind is _DELETE
    client: Json = {
        "type": {"coding": [kind.client]},
        "who": {"identifier": {"value": who.client or who.name}, "display": who.name},
        "requestor": who.user is None,
        "network": {"address": who.address, "type": _IP}
        if who.address
        else {"address": host, "type": _NAME},
    }
    server: Json = {
        "type": {"coding": [kind.server]},
        "who": {"display": "Sangam", "identifier": _identified(manner.base)},
        "requestor": False,
        "network": {"address": manner.base, "type": _URL},
    }
    if who.token and not is_delete and who.user is None:
        client["policy"] = [f"{_JTI}{who.token}"]
    return [client, server, *_user(kind, who)]


def _user(kind: Kind, who: Who) -> list[Json]:
    if who.user is None:
        return []
    role = {"system": _PARTICIPATION, "code": kind.person}
    user: Json = {
        "type": {"coding": [{"system": _AGENT_TYPES, "code": "UserOauthAgent"}, role]},
        "who": {"reference": who.user},
        "name": who.name,
        "requestor": True,
    }
    if who.token and kind is not _DELETE:
        user["policy"] = [f"{_JTI}{who.token}"]
    if who.purpose:
        user["purposeOfUse"] = [{"coding": [{"system": _PURPOSE, "code": who.purpose}]}]
    return [user]


def _identified(base: str) -> Json:
    return {"system": _URI, "value": base}


def _patient(id_: str) -> Json:
    return {
        "what": {"reference": f"Patient/{id_}"},
        "type": {"system": _ENTITY_TYPE, "code": "1", "display": "Person"},
        "role": {"system": _ROLE, "code": "1", "display": "Patient"},
    }


def _data(literal: str) -> Json:
    return {
        "what": {"reference": literal},
        "type": {"system": _ENTITY_TYPE, "code": "2", "display": "System Object"},
        "role": {"system": _ROLE, "code": "4", "display": "Domain Resource"},
    }


def _query(query: bytes) -> Json:
    return {
        "type": {"system": _ENTITY_TYPE, "code": "2", "display": "System Object"},
        "role": {"system": _ROLE, "code": "24", "display": "Query"},
        "query": base64.b64encode(query).decode(),
    }


def _request(id_: str) -> Json:
    return {
        "what": {"identifier": {"value": id_}},
        "type": {"system": _ENTITY_TYPES, "code": "XrequestId"},
    }


def _happened(manner: Manner, record: Record, at: datetime) -> Json:
    what = HAPPENINGS[record.happening or ""]
    subtype = {"system": DCM, "code": what.subtype, "display": what.means}
    event = _begun([subtype], {"system": DCM, "code": what.type, "display": what.meaning})
    del event["meta"]
    event |= _circumstances(record, what.action, at)
    kind = Kind("", what.action, _APPLICATION, _DESTINATION, "INF")
    event["agent"] = _agents(manner, kind, record.who)
    event["source"] = {"observer": {"display": "Sangam", "identifier": _identified(manner.base)}}
    entities = [_about(one) for one in record.about]
    if record.request:
        entities.append(_request(record.request))
    if entities:
        event["entity"] = entities
    return event


def of_adapter(
    base: str,
    actor: str,
    what: tuple[Json, Json, str],
    entity: Json,
    at: datetime,
    patient: str | None = None,
    user: str | None = None,
) -> Json:
    """Return the event of what somebody does with something that is no resource.

    `what` are the codings of type and subtype, and the action; `entity` is the thing, and
    `patient` the id of whose it is. `user` is the person (a reference), where one is known.
    """
    type_, subtype, action = what
    event = _begun([subtype], type_)
    del event["meta"]
    event |= {"action": action, "recorded": at.isoformat(), "outcome": str(SUCCESS)}
    kind = _KINDS["read"] if action == "R" else _UPDATE
    client, *others = _agents(Manner(base, 1, 1), kind, Who(actor, user=user))
    event["agent"] = [{**client, "name": actor}, *others]
    event["source"] = {"observer": {"display": "Sangam", "identifier": _identified(base)}}
    event["entity"] = [entity, *([_patient(patient)] if patient else [])]
    return event


def _about(one: str) -> Json:
    """Return the entity of a reference, or of a name that is none."""
    if one.startswith("Patient/"):
        return _patient(one.partition("/")[2])
    if "/" in one:
        return _data(one)
    return {"what": {"identifier": {"value": one}, "display": one}}
