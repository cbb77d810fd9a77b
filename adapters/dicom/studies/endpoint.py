"""The Endpoints at which studies are retrieved, and shown in a browser.

https://hl7.org/fhir/R4/endpoint.html
"""

from typing import Any, Final

from adapters.dicom.studies import ids

REFERENCE: Final = f"Endpoint/{ids.ENDPOINT}"
VIEWER: Final = f"Endpoint/{ids.VIEWER}"
"""Their literal references, which never change."""

_CONNECTION: Final = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"


def endpoint(address: str) -> dict[str, Any]:
    """Return the Endpoint of DICOMweb at this address, below which `/studies` is."""
    return {
        "resourceType": "Endpoint",
        "id": ids.ENDPOINT,
        "identifier": [{"system": "urn:sangam:endpoint", "value": "dicomweb"}],
        "status": "active",
        "connectionType": {"system": _CONNECTION, "code": "dicom-wado-rs"},
        "name": "DICOMweb",
        "payloadType": [{"text": "DICOM"}],
        "payloadMimeType": ["application/dicom"],
        "address": address,
    }


def viewer(address: str) -> dict[str, Any]:
    """Return the Endpoint of the viewer at this address, as of Invoke Image Display.

    `?requestType=STUDY&studyUID=` with a UID opens a study there.
    """
    return {
        "resourceType": "Endpoint",
        "id": ids.VIEWER,
        "identifier": [{"system": "urn:sangam:endpoint", "value": "viewer"}],
        "status": "active",
        "connectionType": {"system": _CONNECTION, "code": "ihe-iid"},
        "name": "Viewer",
        "payloadType": [{"text": "DICOM"}],
        "payloadMimeType": ["text/html"],
        "address": address,
    }
