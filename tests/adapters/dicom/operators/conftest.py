"""An archive whose studies wait for an operator."""

from tests.adapters.dicom.studies.conftest import archive, dicom, settings

__all__ = ["archive", "dicom", "settings"]
