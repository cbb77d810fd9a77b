"""What libraries say of a data set stays out of the log."""

import subprocess
import sys

SAID = """
import pydicom
from pydicom.dataelem import DataElement
DataElement(0x00100020, "UI", "MRN 4711")
"""
CONFIGURED = "from fhir_server.main.log import configure\nconfigure('test')\n"


def test_values_of_a_data_set_are_not_logged() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONFIGURED + SAID], capture_output=True, check=True
    )
    assert done.stderr == b""
