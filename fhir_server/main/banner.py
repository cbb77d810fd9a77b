"""What a person reads when the server has started."""

from collections.abc import Mapping

from adapters.dicom.address import dicomweb
from fhir_server.bases import beside
from fhir_server.config import Settings
from fhir_server.identity.samples import APP, PASSWORD, SAMPLES

_OPEN = """\
!! DEMO MODE: NO LOGIN. Everyone on this machine can read and change everything.
!! It listens on this machine only; never use it for patients.
"""

_TOKENS = """\
Who asks needs an access token, and pages need a login. Users: `sangam user add`;
apps: `sangam client add`.
"""


def banner(settings: Settings, base: str, ports: Mapping[str, int]) -> str:
    """Return the addresses, a first request, and a loud word on who may come in."""
    root = beside(base)
    database = "given by database_url" if settings.database_url else "embedded PostgreSQL"
    return f"""
Sangam is ready.

{_OPEN if settings.demo else _TOKENS}
  FHIR R4    {base}
  HL7 v2     {_mllp(settings, ports)}{_astm(settings, ports)}
  DICOM      {_dicom(settings, ports)}  (AE title {settings.dicom.ae_titles[0]})
  DICOMweb   {dicomweb(settings.dicom, base)}
  Inbox      {root}/hl7  (HL7 v2, in a browser)
  Studies    {root}/dicom  (imaging, what waits for somebody)
  Viewer     {root}/viewer
  Account    {beside(base)}/auth/manage  (log in; apps that have access)
  Health     {root}/health/ready
  Metrics    {root}/metrics
  Data       {settings.data_dir.resolve()}  ({database})

{_to_try(base) if settings.demo else ""}Stop with Ctrl-C; the data stay.
"""


def _to_try(base: str) -> str:
    """Return first requests, the sample users, and the app that may log them in."""
    names = ", ".join(one.name for one in SAMPLES)
    return f"""\
Try it:

  curl -X POST {base}/Patient -H 'Content-Type: application/fhir+json' \\
       -d '{{"resourceType":"Patient","name":[{{"family":"Rao","given":["Asha"]}}]}}'
  curl '{base}/Patient?family=rao&_pretty=true'

Log in as one of {names};
the password of each is: {PASSWORD}
Apps on this machine log them in as client_id {APP}, with any address of theirs.

"""


def _astm(settings: Settings, ports: Mapping[str, int]) -> str:
    """Return the line of the port for analyzers, "" where there is none."""
    return f"\n  ASTM       {settings.host}:{ports['astm']}" if "astm" in ports else ""


def _mllp(settings: Settings, ports: Mapping[str, int]) -> str:
    """Return the plain port and the channels: `mllp://`, or `mllps://` with TLS."""
    plain = [f"mllp://{settings.host}:{ports['mllp']}"] if "mllp" in ports else []
    more = [
        f"mllp{'s' if one.tls else ''}://{one.host or settings.host}:{one.port} ({one.name})"
        for one in settings.hl7.channels
    ]
    return "\n             ".join([*plain, *more]) or "no port"


def _dicom(settings: Settings, ports: Mapping[str, int]) -> str:
    secure = f"{settings.host}:{ports['dicom-tls']} with TLS" if "dicom-tls" in ports else ""
    plain = f"{settings.host}:{ports['dicom']}" if "dicom" in ports else ""
    return ", ".join(filter(None, (plain, secure))) or "on no port"
