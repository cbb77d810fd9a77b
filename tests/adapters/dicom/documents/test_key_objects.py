"""What a Key Object Selection selects, and whether it rejects that."""

from typing import Any

import pytest
from pydicom.dataset import Dataset

from adapters.dicom.dataset.syntaxes import EXPLICIT_LITTLE
from adapters.dicom.documents import reading
from adapters.dicom.documents.key_objects import Selected, key_objects
from tests.adapters.dicom.documents import sr_samples as samples


def attributes(made: Dataset) -> Any:
    return reading.read(samples.encoded(made), EXPLICIT_LITTLE)


@pytest.mark.parametrize(
    ("code", "rejection"),
    [("113000", ""), ("113001", "113001"), ("113037", "113037"), ("113039", "113039")],
)
def test_key_objects_say_what_they_select_and_reject(code: str, rejection: str) -> None:
    found = key_objects(attributes(samples.key_objects(samples.dcm(code, "Title"))))
    assert found is not None
    assert (found.title, found.rejection) == (f"DCM:{code}", rejection)
    assert found.instances == (
        Selected(samples.STUDY, f"{samples.STUDY}.8", samples.CT_CLASS, f"{samples.STUDY}.9"),
    )


def test_other_documents_are_no_key_objects() -> None:
    assert key_objects(attributes(samples.ct_dose())) is None
