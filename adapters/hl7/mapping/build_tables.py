"""The generator of data/tables.json: codes of the HL7 v2 tables that maps pass through.

Run as `python -m adapters.hl7.mapping.build_tables PATH_OF_hl7.fhir.r4.core.tgz`.
https://hl7.org/fhir/R4/terminologies-v2.html
"""

import json
import sys
import tarfile
from pathlib import Path

_TABLES = (
    "0001 0002 0004 0005 0007 0009 0023 0052 0062 0063 0069 0074 0080 0092 0116 0127 0128 0131"
    " 0136 0163 0177 0189 0203 0230 0301 0315 0360 0369 0371 0430 0432 0443 0487 0488 0489 0490"
    " 0493 0544 0912 0936"
)
DATA = Path(__file__).with_name("data") / "tables.json"


def build(package: Path) -> dict[str, list[str]]:
    """Return the codes of each table that the package of R4 definitions has."""
    found = {}
    with tarfile.open(package) as archive:
        for table in _TABLES.split():
            try:
                member = archive.extractfile(f"package/CodeSystem-v2-{table}.json")
            except KeyError:
                continue
            assert member is not None
            found[table] = [concept["code"] for concept in json.load(member).get("concept", ())]
    return found


if __name__ == "__main__":
    tables = build(Path(sys.argv[1]))
    DATA.parent.mkdir(exist_ok=True)
    DATA.write_text(json.dumps(tables, indent=0, ensure_ascii=False) + "\n")
