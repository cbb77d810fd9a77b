"""The generator of data/tables.json: codes of the HL7 v2 tables that maps pass through.

Run as `python -m adapters.hl7.mapping.build_tables PATH_OF_hl7.fhir.r4.core.tgz`.
https://hl7.org/fhir/R4/terminologies-v2.html
"""

import json
import re
import sys
import tarfile
from pathlib import Path

_TABLES = (
    "0001 0002 0004 0005 0007 0009 0023 0052 0062 0063 0069 0074 0080 0092 0116 0127 0128 0131"
    " 0136 0161 0162 0163 0165 0166 0177 0189 0203 0230 0270 0276 0277 0301 0315 0360 0369 0371"
    " 0430 0432 0443 0482 0487 0488 0489 0490 0493 0544 0912 0936"
)
_FILE = re.compile(r"package/CodeSystem-v2-(?:2\.[0-9.]+-)?(\d{4})\.json")
DATA = Path(__file__).with_name("data") / "tables.json"


def build(package: Path) -> dict[str, list[str]]:
    """Return the codes of each table that the package of R4 definitions has.

    Of a table that it has by versions of HL7 v2 alone (0360) they are those of all versions.
    """
    found: dict[str, list[str]] = {}
    with tarfile.open(package) as archive:
        for name in sorted(archive.getnames()):
            match = _FILE.fullmatch(name)
            if match is None or match[1] not in _TABLES.split():
                continue
            member = archive.extractfile(name)
            assert member is not None
            codes = [concept["code"] for concept in json.load(member).get("concept", ())]
            found[match[1]] = list(dict.fromkeys([*found.get(match[1], ()), *codes]))
    return dict(sorted(found.items()))


if __name__ == "__main__":
    tables = build(Path(sys.argv[1]))
    DATA.parent.mkdir(exist_ok=True)
    DATA.write_text(json.dumps(tables, indent=0, ensure_ascii=False) + "\n")
