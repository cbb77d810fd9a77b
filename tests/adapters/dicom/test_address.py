import pytest

from adapters.dicom.address import dicomweb
from fhir_server.dicom_settings import DicomSettings, DicomWebSettings

ADDRESSES = [
    ("", "http://127.0.0.1:8080/fhir", "http://127.0.0.1:8080/dicom-web"),
    ("", "https://h.example/a/fhir/", "https://h.example/a/dicom-web"),
    ("https://pacs.example/web/", "http://127.0.0.1:8080/fhir", "https://pacs.example/web"),
]


@pytest.mark.parametrize(("url", "base", "expected"), ADDRESSES, ids=[one[2] for one in ADDRESSES])
def test_dicomweb_is_where_the_settings_say_else_beside_fhir(
    url: str, base: str, expected: str
) -> None:
    assert dicomweb(DicomSettings(web=DicomWebSettings(url=url)), base) == expected
