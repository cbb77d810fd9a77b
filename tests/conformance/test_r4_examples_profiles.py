"""Every official R4 resource meets the profiles it claims, and its extensions their definitions."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

from fhir_server.profiles.judging import validate_profiles
from fhir_server.profiles.profiles import Profiles
from fhir_server.r4 import json
from fhir_server.r4.definitions import load

EXAMPLES = "data/r4/hl7.fhir.r4.examples-4.0.1.tgz"
LARGE = 60_000
CONCERNED = (b"xtension", b'"profile"')

# Files that break R4, each with its reason; an addition needs a review.
REVIEWED = {
    # It shows how to refer in Basic, with modifier extensions that nobody defines.
    "Basic-referral.json": [
        ("extension", "Basic.modifierExtension[0]"),
        ("extension", "Basic.modifierExtension[1]"),
        ("extension", "Basic.modifierExtension[2]"),
    ],
    # Its extension has a part that the definition of the extension has not.
    "Bundle-hla-1.json": [("extension", "Bundle.entry[0].resource.extension[1].extension[1]")],
}


def examples(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            # The large ones are Bundles of the others, and snapshots of types.
            if member.size > LARGE or not member.name.endswith(".json"):
                continue
            content = tar.extractfile(member)
            if content is not None:
                yield member.name.rpartition("/")[2], content.read()


def test_official_examples_meet_their_profiles(shared: Path) -> None:
    profiles, broken, judged = Profiles(load()), {}, 0
    for name, raw in examples(shared / EXAMPLES):
        if not any(word in raw for word in CONCERNED):
            continue
        data = json.decode(raw)
        judged += 1
        found = [
            (issue.code, issue.expression)
            for issue in validate_profiles(profiles, data)
            if issue.severity == "error"
        ]
        if found:
            broken[name] = found
    assert broken == REVIEWED
    assert judged == 4_290
