"""Which releases a set of files is, by header columns and content."""

from collections.abc import Callable, Sequence
from pathlib import Path

from terminology.loaders import claml, icd10cm, loinc, nrces, rf2, rxnorm
from terminology.loaders.delimited import recognised
from terminology.loaders.fhir_package import is_package, package
from terminology.loaders.release import Found, Options, Release, Resources
from terminology.loaders.report import LoadRefused
from terminology.loaders.sources import SourceFile, source_files

Readers = tuple[
    Callable[[Sequence[Found]], bool],
    Callable[[Sequence[Found], Options], Release | Resources],
]
READERS: tuple[Readers, ...] = (
    (rf2.is_rf2, rf2.release),
    (loinc.is_loinc, loinc.release),
    (claml.is_claml, claml.release),
    (icd10cm.is_icd10cm, icd10cm.release),
    (rxnorm.is_rxnorm, rxnorm.release),
    (nrces.is_cdci, nrces.cdci),
    (nrces.is_clci, nrces.clci),
)


def releases(paths: Sequence[Path], options: Options) -> list[Release | Resources]:
    """What the files are; LoadRefused when they are nothing that is known."""
    made: list[Release | Resources] = [package(path) for path in paths if is_package(path)]
    found = [_look(file) for file in source_files([p for p in paths if not is_package(p)])]
    made += [read(found, options) for is_one, read in READERS if is_one(found)]
    if not made:
        raise LoadRefused(
            "none of these files is of a terminology that can be read: SNOMED CT (RF2), LOINC, "
            "ICD-10 (ClaML), ICD-10-CM, RxNorm, CDCI, CLCI, or a FHIR package (.tgz)"
        )
    return made


def _look(file: SourceFile) -> Found:
    head = file.head()
    return Found(file, head, recognised(file, head))
