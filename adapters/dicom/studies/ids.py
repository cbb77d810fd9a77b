"""Ids of the resources that are made of studies: the same, whoever makes them first."""

from typing import Final
from uuid import UUID, uuid5

_NAMESPACE: Final = UUID("9d2f0c5e-7f0b-5c1d-8a44-3f6f5b1f7d52")

ENDPOINT: Final = str(uuid5(_NAMESPACE, "endpoint"))
"""Of the Endpoint at which all studies are retrieved."""

VIEWER: Final = str(uuid5(_NAMESPACE, "viewer"))
"""Of the Endpoint at which all studies are shown."""


SHOWN_AS: Final = """
SELECT imaging_study FROM dicom_study
WHERE study_instance_uid = ANY(%s) AND imaging_study IS NOT NULL ORDER BY 1
"""
"""The ids of the ImagingStudies that show some studies."""


def imaging_study_id(study_instance_uid: str) -> str:
    """Return the id of the ImagingStudy of a study."""
    return str(uuid5(_NAMESPACE, f"study {study_instance_uid}"))


def task_id(study_instance_uid: str) -> str:
    """Return the id of the Task to find the patient of a study."""
    return str(uuid5(_NAMESPACE, f"match {study_instance_uid}"))


def urn(key: str) -> str:
    """Return a URN that stands for a resource with this key inside of one transaction."""
    return f"urn:uuid:{uuid5(_NAMESPACE, key)}"
