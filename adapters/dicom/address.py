"""The addresses of DICOMweb and the viewer, as Endpoints and links name them.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.2
"""

from typing import Final

from fhir_server.bases import beside
from fhir_server.dicom_settings import DicomSettings

PATH: Final = "/dicom-web"
"""Where DICOMweb is on the server."""

VIEWER: Final = "/viewer"
"""Where the page is that shows studies."""


def dicomweb(settings: DicomSettings, fhir_base: str) -> str:
    """Return the URL below which `/studies` is, without a slash at its end.

    Without one in the settings it is beside the FHIR base, whose last segment it takes.
    """
    return settings.web.url.rstrip("/") or beside(fhir_base) + PATH


def viewer(settings: DicomSettings, fhir_base: str) -> str:
    """Return the URL of the page that shows studies; it is beside DICOMweb."""
    return dicomweb(settings, fhir_base).rpartition("/")[0] + VIEWER
