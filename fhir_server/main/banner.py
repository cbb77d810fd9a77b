"""What a person reads when the server has started."""

from collections.abc import Mapping

from adapters.dicom.address import dicomweb
from fhir_server.config import Settings

_OPEN = """\
!! {mode}: NO LOGIN. Everyone who reaches these ports can read and change
!! everything. {where}
"""


def banner(settings: Settings, base: str, ports: Mapping[str, int]) -> str:
    """Return the addresses, a first request, and a loud word on who may come in."""
    mode, where = (
        ("DEMO MODE", "It listens on this machine only; never use it for patients.")
        if settings.demo
        else ("INSECURE", "Keep the network closed.")
    )
    database = "given by database_url" if settings.database_url else "embedded PostgreSQL"
    return f"""
Sangam is ready.

{_OPEN.format(mode=mode, where=where)}
  FHIR R4    {base}
  HL7 v2     {_mllp(settings, ports)}{_astm(settings, ports)}
  DICOM      {_dicom(settings, ports)}  (AE title {settings.dicom.ae_titles[0]})
  DICOMweb   {dicomweb(settings.dicom, base)}
  Inbox      http://{settings.host}:{ports["http"]}/hl7  (HL7 v2, in a browser)
  Studies    http://{settings.host}:{ports["http"]}/dicom  (imaging, what waits for somebody)
  Viewer     http://{settings.host}:{ports["http"]}/viewer
  Health     http://{settings.host}:{ports["http"]}/health/ready
  Metrics    http://{settings.host}:{ports["http"]}/metrics
  Data       {settings.data_dir.resolve()}  ({database})

Try it:

  curl -X POST {base}/Patient -H 'Content-Type: application/fhir+json' \\
       -d '{{"resourceType":"Patient","name":[{{"family":"Rao","given":["Asha"]}}]}}'
  curl '{base}/Patient?family=rao&_pretty=true'

Stop with Ctrl-C; the data stay.
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
