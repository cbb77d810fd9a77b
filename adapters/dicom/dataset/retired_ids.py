"""Ids of SNOMED RT as those of SNOMED CT.

https://dicom.nema.org/medical/dicom/current/output/html/part16.html#sect_8.1.1
"""

from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pydicom


def _table() -> Mapping[str, str]:
    """Return pydicom's table, read alone.

    Its package reads the context groups of PS3.16 too, which nothing here asks for: 0.2 s of
    each start and 10 MB of each process.
    """
    assert pydicom.__file__ is not None
    place = Path(pydicom.__file__).with_name("sr") / "_snomed_dict.py"
    loader = SourceFileLoader("pydicom.sr._snomed_dict", str(place))
    spec = spec_from_file_location(loader.name, place, loader=loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    found: Mapping[str, str] = module.mapping["SRT"]
    return found


RETIRED = _table()
"""Ids of SNOMED RT, which templates named their concepts by before 2020, as those of CT."""
