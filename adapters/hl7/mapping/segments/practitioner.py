"""XCN, NDL and XON as Practitioner, PractitionerRole and Organization.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-datatype-xcn-to-practitioner.html
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.hl7.mapping.code_tables import NAME_USE, THO
from adapters.hl7.mapping.context import Context, Json, add, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd, xad
from adapters.hl7.mapping.datatypes.xpn import assembly, family
from adapters.hl7.message.accounting import CONDITION_FALSE
from adapters.hl7.message.tokenizer import Repetition, Segment

_Place = tuple[int, int]
# Of XCN: the check digit follows, the older form of its period, and the order of its parts.
_CHECK_DIGIT: Final = 10
_RANGE: Final = 17
_ASSEMBLY_ORDER: Final = 18
# What an identifier says beside the number that it is.
_BESIDE: Final = (".identifier.type", ".identifier.extension")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a data type that names a person keeps its parts: (component, subcomponent)."""

    name: str
    value: _Place
    family: _Place
    given: tuple[_Place, ...]
    suffix: tuple[_Place, ...]
    prefix: _Place
    qualification: _Place | None
    authority: tuple[_Place, _Place, _Place]
    use: _Place | None
    type: _Place | None
    period: tuple[int, int] | None = None


XCN: Final = _Layout(
    name="XCN",
    value=(1, 1),
    family=(2, 1),
    given=((3, 1), (4, 1)),
    suffix=((5, 1), (21, 1)),
    prefix=(6, 1),
    qualification=(7, 1),
    authority=((9, 1), (9, 2), (9, 3)),
    use=(10, 1),
    type=(13, 1),
    period=(19, 20),
)
CNN: Final = _Layout(  # the first component of NDL
    name="NDL",
    value=(1, 1),
    family=(1, 2),
    given=((1, 3), (1, 4)),
    suffix=((1, 5),),
    prefix=(1, 6),
    qualification=(1, 7),
    authority=((1, 9), (1, 10), (1, 11)),
    use=None,
    type=None,
)


def practitioner(ctx: Context, rep: Repetition, holder: Json, layout: _Layout = XCN) -> str | None:
    """Return a reference to the Practitioner, None where nobody is named.

    One with an identifier is a resource of its own, another one is contained in
    `holder`.
    """
    known, reference = ctx.remembered(rep, layout.name)
    if known:
        return str(reference)
    resource = _practitioner(ctx, rep, layout)
    if resource is None:
        return None
    if "identifier" not in resource:
        contained = holder.setdefault("contained", [])
        resource["id"] = f"person{len(contained) + 1}"
        contained.append(resource)
        return f"#{resource['id']}"
    reference = ctx.write("POST", (hd.token(resource["identifier"][0]),), resource)
    written = ctx.writes.get(reference)
    if written is not None and written.resource != resource:
        _unsaid(rep, written.resource)
    ctx.remember(rep, layout.name, reference)
    return reference


def _unsaid(rep: Repetition, written: Json) -> None:
    """List what is said otherwise of somebody who was named by the same number before."""
    said = set(_values(written))
    mapped = rep.message.mapped
    for component, sub, path in rep.marks():
        names = ".identifier" in path and not path.endswith(_BESIDE)
        if not names and rep.peek(component, sub) not in said:
            del mapped[(rep.segment.index, rep.number, rep.repetition, component, sub)]
            rep.refuse(component, CONDITION_FALSE, sub)


def _values(node: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _values(item)
    else:
        yield str(node)


def _practitioner(ctx: Context, rep: Repetition, layout: _Layout) -> Json | None:
    path = "Practitioner"
    resource: Json = {"resourceType": path}
    if value := _take(rep, layout.value, f"{path}.identifier.value"):
        names = [_take(rep, place, f"{path}.identifier.system") for place in layout.authority]
        identifier: Json = {}
        if layout.type and (code := _take(rep, layout.type, f"{path}.identifier.type")):
            identifier["type"] = hd.type_concept(ctx, code)
        identifier["system"] = hd.system_of(ctx, names[0], names[1], names[2], "practitioner")
        identifier["value"] = value
        resource["identifier"] = [identifier]
        if layout is XCN and len(rep.components) > _CHECK_DIGIT:
            for component, kind in ((11, "identifier-checkDigit"), (12, "namingsystem-checkDigit")):
                digit = hd.check_digit(rep, component, kind, f"{path}.identifier")
                add(identifier, "extension", digit)
    name = _name(rep, layout, f"{path}.name")
    if name and layout.period:
        period: Json = {}
        put(period, "start", dtm.date_time(ctx, rep, layout.period[0], f"{path}.name.period"))
        put(period, "end", dtm.date_time(ctx, rep, layout.period[1], f"{path}.name.period"))
        put(name, "period", period or dtm.date_range(ctx, rep, _RANGE, f"{path}.name.period"))
        assembly(rep, _ASSEMBLY_ORDER, name, f"{path}.name")
    add(resource, "name", name)
    if not name and "identifier" not in resource:
        return None
    if layout.qualification and (code := _take(rep, layout.qualification, f"{path}.qualification")):
        coding = cwe.coded(ctx, code, "0360")
        resource["qualification"] = [{"code": {"coding": [coding]}}]
    return resource


def _name(rep: Repetition, layout: _Layout, path: str) -> Json:
    name: Json = {}
    component, sub = layout.family
    if sub == 1:
        family(rep, component, name, path)
    else:
        put(name, "family", rep.take(component, f"{path}.family", sub))
    for place in layout.given:
        add(name, "given", _take(rep, place, f"{path}.given"))
    add(name, "prefix", _take(rep, layout.prefix, f"{path}.prefix"))
    for place in layout.suffix:
        add(name, "suffix", _take(rep, place, f"{path}.suffix"))
    if name and layout.use and rep.peek(*layout.use) in NAME_USE:
        name["use"] = NAME_USE[_take(rep, layout.use, f"{path}.use")]
    return name


def _take(rep: Repetition, place: _Place, path: str) -> str:
    return rep.take(place[0], path, place[1])


def role(
    ctx: Context,
    practitioner_reference: str,
    code: tuple[str, str],
    organization_reference: str | None = None,
) -> str:
    """Return a reference to the PractitionerRole; a contained person stands for itself."""
    if practitioner_reference.startswith("#"):
        return practitioner_reference
    system, value = code
    resource: Json = {
        "resourceType": "PractitionerRole",
        "practitioner": {"reference": practitioner_reference},
    }
    if organization_reference:
        resource["organization"] = {"reference": organization_reference}
    if value:
        resource["code"] = [{"coding": [{"system": system, "code": value}]}]
    key = ctx.key("PractitionerRole", practitioner_reference, value, organization_reference or "")
    resource["identifier"] = [ctx.key_identifier(key)]
    return ctx.write("POST", (ctx.key_token(key),), resource)


def roles(
    ctx: Context,
    segment: Segment,
    number: int,
    holder: Json,
    code: tuple[str, str],
    layout: _Layout = XCN,
) -> list[str]:
    """Return references to the roles of all persons in a field."""
    return [
        role(ctx, person, code)
        for rep in segment.repetitions(number)
        if (person := practitioner(ctx, rep, holder, layout))
    ]


def organization(ctx: Context, rep: Repetition, address: Sequence[Repetition] = ()) -> str | None:
    """Return a reference to the Organization of a XON, None where it has no name or number."""
    known, reference = ctx.remembered(rep, "Organization")
    if known:
        _addressed(ctx, str(reference), address)
        return str(reference)
    path = "Organization"
    resource: Json = {"resourceType": path}
    number = 10 if rep.peek(10) else 3
    if value := rep.take(number, f"{path}.identifier.value"):
        identifier: Json = {}
        if code := rep.take(7, f"{path}.identifier.type"):
            identifier["type"] = hd.type_concept(ctx, code)
        identifier["system"] = hd.authority(ctx, rep, 6, "organization", f"{path}.identifier")
        identifier["value"] = value
        for component, name in ((4, "identifier-checkDigit"), (5, "namingsystem-checkDigit")):
            add(identifier, "extension", hd.check_digit(rep, component, name, f"{path}.identifier"))
        resource["identifier"] = [identifier]
    put(resource, "name", rep.take(1, f"{path}.name"))
    reference = _written(ctx, resource)
    if reference is None:
        return None
    written = ctx.writes.get(reference)
    if written is not None and written.resource is not resource:
        _unsaid(rep, written.resource)
    ctx.remember(rep, "Organization", reference)
    _addressed(ctx, reference, address)
    return reference


def _addressed(ctx: Context, reference: str, address: Sequence[Repetition]) -> None:
    """Add each other address to the Organization, if this message writes it."""
    written = ctx.writes.get(reference)
    for place in address:
        found = _of_organization(xad.xad(ctx, place, "Organization.address"))
        if written is not None and found and found not in written.resource.get("address", ()):
            add(written.resource, "address", found)


def _of_organization(address: Json | None) -> Json | None:
    """No address of an organization is a home (org-2), though senders type it as one."""
    if address and address.get("use") == "home":
        return {name: value for name, value in address.items() if name != "use"}
    return address


def producer(ctx: Context, rep: Repetition) -> str | None:
    """Return a reference to the Organization that a CWE names."""
    known, reference = ctx.remembered(rep, "Producer")
    if known:
        return str(reference)
    path = "Organization"
    resource: Json = {"resourceType": path}
    place = f"{rep.segment.name}-{rep.number}"
    if value := rep.take(1, f"{path}.identifier.value"):
        name = rep.take(3, f"{path}.identifier.system")
        system = hd.system_of(ctx, name, "", "", place)
        resource["identifier"] = [{"system": system, "value": value}]
    text = rep.take(9, f"{path}.name") or rep.take(2, f"{path}.name")
    put(resource, "name", text)
    reference = _written(ctx, resource)
    if reference is not None:
        ctx.remember(rep, "Producer", reference)
    return reference


def _written(ctx: Context, resource: Json) -> str | None:
    if "identifier" in resource:
        return ctx.write("POST", (hd.token(resource["identifier"][0]),), resource)
    if "name" not in resource:
        return None
    # A name identifies within its sender.
    key = ctx.key("Organization", resource["name"])
    resource["identifier"] = [ctx.key_identifier(key)]
    return ctx.write("POST", (ctx.key_token(key),), resource)


def participation(code: str) -> tuple[str, str]:
    """Return the system and code of a kind of participation."""
    return THO + "v3-ParticipationType", code
