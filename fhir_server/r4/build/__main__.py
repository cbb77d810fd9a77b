"""The command that builds the artefact: `python -m fhir_server.r4.build [FOLDER]`."""

import sys
from pathlib import Path

from fhir_server.r4 import artefact
from fhir_server.r4.build.sections import sections

_SHARED = Path(__file__).parents[4] / "shared" / "data" / "r4"


def main() -> None:
    """Write the artefact from the packages in FOLDER (default `../shared/data/r4`)."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else _SHARED
    built = sections(folder)
    target = Path(artefact.__file__).parent / "data" / artefact.NAME
    content = artefact.pack(built)
    target.write_bytes(content)
    sys.stdout.write(f"{target}: {len(content)} bytes\n")
    for name, count in built["about"]["counts"].items():
        sys.stdout.write(f"{count:8d} {name}\n")


if __name__ == "__main__":
    main()
