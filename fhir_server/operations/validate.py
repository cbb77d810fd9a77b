"""`$validate`: what is wrong with a resource, and whether a write would be refused.

https://hl7.org/fhir/R4/resource-operation-validate.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, Issue, NotFound
from fhir_server.interactions import judging, profiling
from fhir_server.interactions.draft import ID, NEVER_STORED
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.read import read
from fhir_server.interactions.trial import tried
from fhir_server.operations.operation import Call, Operation, Result
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.r4.outcome import operation_outcome
from fhir_server.server import Server

Mode = Literal["create", "update", "delete", "profile"]
Json = dict[str, Any]

_VALUES: Final = ("resource", "valueCode", "valueUri", "valueString", "valueCanonical")
_VALID: Final = Issue("information", "informational", "No issues detected")
_SUBJECT: Final = "resource"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be validated: `resource` is None where the stored one is meant."""

    resource: Json | None
    mode: Mode | None
    profiles: tuple[str, ...]


async def _validate(server: Server, caller: Caller, call: Call) -> Result:
    asked = _asked(call)
    _require_sense(call, asked)
    await _require_known(server, asked.profiles)
    issues = await _issues(server, caller, call, asked)
    return Result(200, operation_outcome(issues or [_VALID]))


async def _issues(server: Server, caller: Caller, call: Call, asked: _Asked) -> list[Issue]:
    """Return what is found; only errors of the resource itself keep a write from being tried."""
    if asked.mode == "delete":
        await read(server, caller, call.type, call.id)
        entry = Entry("DELETE", f"{call.type}/{call.id}", if_match=call.headers.get("if-match"))
        return await tried(server, caller, entry)
    resource = asked.resource
    if resource is None:
        stored = await read(server, caller, call.type, call.id)
        resource = json.decode(stored.body)
    named = resource.get("resourceType")
    if call.level != "system" and named != call.type:
        text = f"The resource is not a {call.type}"
        return [Issue("error", "structure", text, "resourceType")]
    verdict = await judging.judged(
        server, str(named), resource, advice=True, profiles=asked.profiles
    )
    issues = verdict.issues
    if asked.mode not in {"create", "update"} or judging.has_errors(issues):
        return issues
    return [*issues, *await tried(server, caller, _entry(call, asked.mode, resource))]


def _entry(call: Call, mode: Mode, resource: Json) -> Entry:
    """Return the write that the resource is meant for."""
    type_name, raw, headers = str(resource["resourceType"]), json.encode(resource), call.headers
    if mode == "create":
        criteria = headers.get("if-none-exist") or None
        return Entry("POST", type_name, resource, raw, if_none_exist=criteria)
    id_ = call.id or resource.get("id")
    if not isinstance(id_, str) or not ID.match(id_):
        raise BadRequest("An update needs an id", code="required", expression="resource.id")
    condition = headers.get("if-match")
    return Entry("PUT", f"{type_name}/{id_}", resource, raw, if_match=condition)


def _asked(call: Call) -> _Asked:
    given = [*call.parameters, *_sent(call.sent)]
    values: dict[str, list[Any]] = {"resource": [], "mode": [], "profile": []}
    for name, value in given:
        if name not in values:
            text = "The operation takes resource, mode and profile"
            raise BadRequest(text, expression=name if isinstance(name, str) else None)
        values[name].append(value)
    resources, modes, profiles = values["resource"], values["mode"], values["profile"]
    if len(resources) > 1 or len(modes) > 1:
        raise BadRequest("resource and mode are given once", code="structure")
    if any(type(one) is not dict for one in resources):
        raise BadRequest("resource is a resource", code="value", expression=_SUBJECT)
    if any(one not in get_args(Mode) for one in modes):
        text = f"mode is one of {', '.join(get_args(Mode))}"
        raise BadRequest(text, code="value", expression="mode")
    if not all(isinstance(one, str) and one for one in profiles):
        raise BadRequest("profile is a URL", code="value", expression="profile")
    return _Asked(next(iter(resources), None), next(iter(modes), None), tuple(profiles))


def _sent(body: Mapping[str, Any] | None) -> list[tuple[Any, Any]]:
    """Return the parameters in the body; any resource but Parameters is what is to be validated."""
    if body is None:
        return []
    parameters = body.get("parameter")
    if body.get("resourceType") != "Parameters":
        return [(_SUBJECT, dict(body))]
    listed = parameters if isinstance(parameters, list) else []
    return [
        (one.get("name"), next((one[name] for name in _VALUES if name in one), None))
        for one in listed
        if isinstance(one, dict)
    ]


def _require_sense(call: Call, asked: _Asked) -> None:
    """Refuse what cannot be asked so."""
    if asked.mode in {"delete", "profile"} and call.level != "instance":
        raise BadRequest(
            f"The mode {asked.mode} is for a stored resource",
            code="not-supported",
            expression="mode",
        )
    if asked.mode == "profile" and not asked.profiles:
        raise BadRequest("Name the profile", code="required", expression="profile")
    if asked.mode == "delete":
        return
    stored = call.level == "instance" and asked.mode in {None, "profile"}
    if asked.resource is None and not stored:
        raise BadRequest("There is nothing to validate", code="required", expression=_SUBJECT)
    if asked.resource is not None and asked.mode == "profile":
        text = "The mode profile is for what is stored"
        raise BadRequest(text, code="invalid", expression=_SUBJECT)


async def _require_known(server: Server, profiles: tuple[str, ...]) -> None:
    for one in profiles:
        if not await profiling.is_known(server, one):
            text = "The profile is not known to this server"
            raise NotFound(text, expression="profile")


# Neither is ever stored.
_TYPES = frozenset(load().resource_types) - NEVER_STORED
OPERATION = Operation(
    name="validate",
    definition="http://hl7.org/fhir/OperationDefinition/Resource-validate",
    methods={"GET": _validate, "POST": _validate},
    system=True,
    types=_TYPES,
    instances=_TYPES,
    takes_as_sent=True,
    batched=True,
)
