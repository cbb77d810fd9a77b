"""The table of ids that SNOMED RT gave and SNOMED CT took over."""

import subprocess
import sys

from pydicom.sr._snomed_dict import mapping

from adapters.dicom.dataset.retired_ids import RETIRED

LOADED = """
import sys, adapters.dicom.dataset.retired_ids
print(*(name for name in sys.modules if name.startswith("pydicom.sr")))
"""


def test_it_is_the_table_by_which_pydicom_compares_codes() -> None:
    assert mapping["SRT"] == RETIRED
    assert RETIRED["T-D3000"] == "51185008"


def test_it_is_read_without_the_context_groups() -> None:
    said = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True)
    assert said.stdout.split() == []
