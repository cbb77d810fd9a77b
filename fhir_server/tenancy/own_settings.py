"""The settings of a tenant, made of the installation's and its own."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from fhir_server.at_rest.custody import custody
from fhir_server.bases import of_tenant
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings
from fhir_server.errors import BadRequest
from fhir_server.tenancy.tenant import Tenant

INHERITED: Final = frozenset(
    ("write", "validation", "search", "limits", "asynchronous", "terminology", "security")
)
"""Groups of rules and limits: a tenant has the installation's, but for what it says itself."""

OWN: Final = frozenset(("hl7", "astm", "dicom", "packages"))
"""Groups that name ports, folders and other systems: of these a tenant has its own alone.

With the installation's it would send its messages to the installation's destinations.
"""

FOLDER: Final = "tenants"
_LAST_PORT: Final = 65_535
# What belongs to the processes and not to whom they serve.
_OF_PROCESSES: Final = ("processes", "max_associations", "max_associations_per_host")


def settings_of(installation: Settings, tenant: Tenant) -> Settings:
    """Return the settings by which a tenant is served; BadRequest when its own cannot be used.

    Its data lie in a folder of their own.
    """
    if unknown := set(tenant.settings) - INHERITED - OWN:
        raise BadRequest(f"A tenant has no settings of its own for: {', '.join(sorted(unknown))}")
    if flat := [name for name, said in tenant.settings.items() if not isinstance(said, Mapping)]:
        raise BadRequest(f"Settings are tables of a TOML file: [{min(flat)}]")
    try:
        found = {
            name: _group(installation, name, _said(tenant, name))
            for name in INHERITED | OWN
            if name in type(installation).model_fields
        }
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BadRequest(f"These settings cannot be used: {places}") from error
    folder = installation.data_dir / FOLDER / tenant.name
    aliases = tuple(of_tenant(one, tenant.name) for one in installation.base_aliases)
    aliases = (*aliases, *tenant.former)
    if tenant.max_bytes is not None:
        quota = min(found["dicom"].quota_bytes or tenant.max_bytes, tenant.max_bytes)
        found["dicom"] = found["dicom"].model_copy(update={"quota_bytes": quota})
    if "security" in found:
        # One master key for all: what it wraps differs by tenant.
        of_all = installation.security.at_rest
        if not of_all.master_key_command:
            path = str(custody(installation).path)
            of_all = of_all.model_copy(update={"master_key_file": path})
        found["security"] = found["security"].model_copy(update={"at_rest": of_all})
    given = {"data_dir": folder, "base_aliases": aliases, "base_url": ""}
    return installation.model_copy(update={**found, **given, "astm_port": _analyzers(tenant)})


def _analyzers(tenant: Tenant) -> int | None:
    """Return the port of a tenant's analyzers: `astm.port`, which the others say by `astm_port`."""
    port = tenant.settings.get("astm", {}).get("port")
    if port is not None and (type(port) is not int or not 0 <= port <= _LAST_PORT):
        raise BadRequest("astm.port of a tenant is a number of a port")
    return port


def _group(installation: Settings, name: str, said: Mapping[str, Any]) -> Any:  # noqa: ANN401  (any group)
    present = getattr(installation, name)
    inherited = {} if name in OWN else present.model_dump(exclude_unset=True)
    start = _start(installation, name) | inherited
    found = type(present).model_validate(_merged(start, said))
    if name == "security" and "issuers" not in said:
        # A token that names neither its tenant nor the tenant's URL would do for them all.
        told = (one for one in found.issuers if one.tenant_claim or not one.audience)
        return found.model_copy(update={"issuers": tuple(told)})
    if name == "dicom" and "ae_titles" not in said:
        return found.model_copy(update={"ae_titles": ()})  # nobody calls it
    return found


def _said(tenant: Tenant, name: str) -> Mapping[str, Any]:
    """Return what a tenant says of a group, but for what is of no group."""
    said: Mapping[str, Any] = tenant.settings.get(name, {})
    return said if name != "astm" else {key: said[key] for key in said if key != "port"}


def _start(installation: Settings, name: str) -> dict[str, Any]:
    """Return what a tenant has of a group of its own before it says anything."""
    if name == "hl7":
        # The one plain port without a name belongs to the installation.
        return {"plain_port": False}
    if name == "dicom":
        return {one: getattr(installation.dicom, one) for one in _OF_PROCESSES}
    return {}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(below)
    for name, value in above.items():
        under = found.get(name)
        both = isinstance(under, Mapping) and isinstance(value, Mapping)
        found[name] = _merged(under, value) if both else value  # type: ignore[arg-type]
    return found


def check_apart(installation: Settings, others: Mapping[str, Settings], own: Settings) -> None:
    """Raise BadRequest where a tenant would share a port or an AE title with another.

    Which tenant a message is of is told by where it comes in.
    """
    taken = [installation, *others.values()]
    ports = {port for one in taken for port in _ports(one)}
    ports |= {installation.mllp_port, installation.http_port, installation.dicom_port}
    if shared := sorted(ports & set(_ports(own))):
        raise BadRequest(f"The port {shared[0]} is another's")
    if own.astm_port and own.astm_port in {one.port for one in own.hl7.channels}:
        raise BadRequest(f"The port {own.astm_port} is one for analyzers or for HL7 v2, not both")
    titles = {title for one in taken for title in one.dicom.ae_titles}
    if same := sorted(titles & set(own.dicom.ae_titles)):
        raise BadRequest(f"The AE title {same[0]} is another's")
    _check_stores(taken, own.dicom)


def _ports(own: Settings) -> Iterator[int]:
    yield from (one.port for one in own.hl7.channels if one.port)
    if own.astm_port:
        yield own.astm_port


def _check_stores(taken: list[Settings], own: DicomSettings) -> None:
    places = {(one.dicom.s3.bucket, one.dicom.s3.prefix) for one in taken if one.dicom.s3.bucket}
    if (own.s3.bucket, own.s3.prefix) in places:
        raise BadRequest("The bucket and prefix of dicom.s3 are another's")
