"""A mapped message as the message Bundle of the guide, for preview and conformance.

Nothing of it is stored: MessageHeader and Bundle only show what a message became.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-msh-to-bundle.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-msh-to-messageheader.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-sft-to-device.html
"""

from collections.abc import Sequence
from typing import Final

from adapters.hl7.mapping.code_tables import EXTENSION, EXTENSION_R5, THO
from adapters.hl7.mapping.context import Context, Json, Profile, Write, add, coding, put, urn
from adapters.hl7.mapping.datatypes import dtm, hd
from adapters.hl7.mapping.segments import orderer, practitioner
from adapters.hl7.mapping.transform import Mapped
from adapters.hl7.message.tokenizer import Message, Repetition, Segment

_ABSENT: Final[Json] = {
    "extension": [{"url": EXTENSION + "data-absent-reason", "valueCode": "unknown"}]
}
# What a message is about; the others are those around it.
_FOCUS: Final = frozenset(
    (
        *("DiagnosticReport", "ServiceRequest", "MedicationRequest", "Appointment"),
        *("DocumentReference", "ChargeItem", "Immunization", "Encounter"),
    )
)


def message_bundle(message: Message, profile: Profile, mapped: Mapped) -> Json:
    """Return the Bundle of type message: the MessageHeader, then what was written.

    The leaves of MSH and SFT that it holds are marked in the message, after which
    `accounting.unmapped` tells what the Bundle does not have. References are full URLs
    of the Bundle, or literal where `mapped` knew what is stored.
    """
    ctx = Context(message, profile, dtm.offset_of(message.header.peek(7)))
    header = _header(ctx, mapped.writes)
    devices = [_device(ctx, sft) for sft in message.named("SFT")]
    writes = {**ctx.writes, **{write.full_url: write for write in mapped.writes}}
    url = urn("MessageHeader", profile.sender, message.header.raw(7), message.header.raw(10))
    entries = [{"fullUrl": url, "resource": header}]
    entries += [
        {"fullUrl": urn("Device", url, str(number)), "resource": device}
        for number, device in enumerate(devices)
        if len(device) > 1
    ]
    entries += [{"fullUrl": w.full_url, "resource": w.resource} for w in writes.values()]
    return {"resourceType": "Bundle", **_members(ctx), "type": "message", "entry": entries}


def _members(ctx: Context) -> Json:
    """MSH-7 the time stamp, where it has an instant, and MSH-10 the identifier."""
    header = ctx.message.header
    found: Json = {}
    control = header.take(10, "Bundle.identifier.value")
    if control:
        found["identifier"] = {"system": ctx.profile.ids("control-id"), "value": control}
    sent = dtm.read(ctx, header.peek(7))
    if sent is not None and sent.timed:
        found["timestamp"] = sent.text
        header.take(7, "Bundle.timestamp")
    return found


def _header(ctx: Context, writes: Sequence[Write]) -> Json:
    msh = ctx.message.header
    resource: Json = {"resourceType": "MessageHeader"}
    _meta(ctx, msh, resource)
    _event(msh, resource)
    resource["source"] = _source(ctx, msh)
    if destination := _destination(ctx, msh):
        resource["destination"] = [destination]
    _organizations(ctx, msh, resource)
    language = msh.peek(19)
    if language:
        resource["language"] = msh.take(19, "MessageHeader.language").lower()
    about = [w.full_url for w in writes if w.resource["resourceType"] in _FOCUS]
    put(resource, "focus", [{"reference": url} for url in about])
    _response(ctx, resource)
    return resource


def _meta(ctx: Context, msh: Segment, resource: Json) -> None:
    """MSH-11 is a tag, MSH-8, 26 and 27 are security labels."""
    mode = msh.first(11)
    for component, table in ((1, "0103"), (2, "0207")):
        if mode is not None and (code := mode.take(component, "MessageHeader.meta.tag")):
            tag = coding(f"{THO}v2-{table}", code)
            add(resource.setdefault("meta", {}), "tag", tag)
    if secret := msh.take(8, "MessageHeader.meta.security"):
        label = coding(ctx.profile.codes("MSH-8"), secret)
        add(resource.setdefault("meta", {}), "security", label)
    for number in (26, 27):
        orderer.put_security(ctx, msh, number, resource)


def _event(msh: Segment, resource: Json) -> None:
    rep = msh.first(9)
    parts = [rep.peek(part) if rep is not None else "" for part in (1, 2, 3)]
    if rep is None or not parts[1]:
        resource["eventUri"] = "urn:hl7-org:v2:unknown"
        return
    for part in (1, 2, 3):
        rep.mark(part, "MessageHeader.eventCoding")
    display = "^".join(part for part in parts if part)
    resource["eventCoding"] = {**coding(THO + "v2-0003", parts[1]), "display": display}


def _source(ctx: Context, msh: Segment) -> Json:
    """MSH-3, else the network address MSH-24 (decision D22); SFT names the software."""
    found: Json = {}
    path = "MessageHeader.source"
    application, network = msh.first(3), msh.first(24)
    if application is not None:
        put(found, "name", application.take(1, f"{path}.name"))
    software = next(iter(ctx.message.named("SFT")), None)
    if software is not None:
        put(found, "software", software.take(3, f"{path}.software"))
        put(found, "version", software.take(2, f"{path}.version"))
    _endpoint(found, (application, network), path)
    return found


def _destination(ctx: Context, msh: Segment) -> Json:
    path = "MessageHeader.destination"
    application, network = msh.first(5), msh.first(25)
    found: Json = {}
    if application is not None:
        put(found, "name", application.take(1, f"{path}.name"))
    receiver = _organization(ctx, msh, 6, 23)
    put(found, "receiver", receiver)
    if not found and network is None:
        return {}
    _endpoint(found, (application, network), path)
    return found


def _endpoint(target: Json, places: tuple[Repetition | None, Repetition | None], path: str) -> None:
    """Set the URL of the first HD that has one; R4 wants one, so else say that none is known."""
    for rep in places:
        url = hd.universal_uri(rep.peek(2), rep.peek(3)) if rep is not None else ""
        if rep is not None and url:
            target["endpoint"] = url
            for component in (2, 3):
                rep.mark(component, f"{path}.endpoint")
            return
    network = places[1]
    if network is not None and "://" in network.peek(1):
        target["endpoint"] = network.take(1, f"{path}.endpoint")
        return
    target["_endpoint"] = _ABSENT


def _organizations(ctx: Context, msh: Segment, resource: Json) -> None:
    put(resource, "sender", _organization(ctx, msh, 4, 0))
    country = msh.peek(17)
    sender = resource.get("sender", {}).get("reference", "")
    if country and sender in ctx.writes:
        country = msh.take(17, "Organization.address.country")
        ctx.writes[sender].resource["address"] = [{"country": country}]
    responsible = msh.first(22)
    if responsible is not None and (who := practitioner.organization(ctx, responsible)):
        resource["responsible"] = {"reference": who}


def _organization(ctx: Context, msh: Segment, facility: int, organization: int) -> Json | None:
    """Return the Organization of a facility (HD), else of an organization (XON)."""
    rep = msh.first(facility)
    path = "Organization"
    name = rep.take(1, f"{path}.name") if rep is not None else ""
    url = hd.universal_uri(rep.peek(2), rep.peek(3)) if rep is not None else ""
    if rep is not None and (name or url):
        resource: Json = {"resourceType": path}
        put(resource, "name", name)
        if url:
            for component in (2, 3):
                rep.mark(component, f"{path}.identifier")
            identifier = {"system": "urn:ietf:rfc:3986", "value": url}
        else:
            identifier = ctx.key_identifier(ctx.key(path, name))
        resource["identifier"] = [identifier]
        return {"reference": ctx.write("POST", (hd.token(identifier),), resource)}
    other = msh.first(organization) if organization else None
    who = practitioner.organization(ctx, other) if other is not None else None
    return {"reference": who} if who else None


def _response(ctx: Context, resource: Json) -> None:
    """MSA, where the message is an answer."""
    codes = {**dict.fromkeys(("AA", "CA"), "ok"), **dict.fromkeys(("AE", "CE"), "transient-error")}
    for msa in ctx.message.named("MSA")[:1]:
        if answered := msa.take(2, "MessageHeader.response.identifier"):
            code = codes.get(msa.take(1, "MessageHeader.response.code"), "fatal-error")
            resource["response"] = {"identifier": answered, "code": code}


def _device(ctx: Context, sft: Segment) -> Json:
    """Return the Device of a SFT: the software that made or passed on the message."""
    resource: Json = {"resourceType": "Device"}
    put(resource, "manufacturer", sft.take(1, "Device.manufacturer"))
    if name := sft.take(3, "Device.deviceName.name"):
        resource["deviceName"] = [{"name": name, "type": "manufacturer-name"}]
    put(resource, "modelNumber", sft.take(4, "Device.modelNumber"))
    version = sft.take(2, "Device.version.value")
    if version:
        resource["version"] = [{"value": version}]
        installed = sft.first(6)
        when = dtm.date_time(ctx, installed, 1, "Device.version.extension") if installed else ""
        if when:
            url = EXTENSION_R5 + "Device.version.installDate"
            resource["version"][0]["extension"] = [{"url": url, "valueDateTime": when}]
    if note := sft.take(5, "Device.note.text"):
        resource["note"] = [{"text": note}]
    return resource
