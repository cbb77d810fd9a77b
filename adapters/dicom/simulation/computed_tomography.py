"""Synthetic CT studies for demonstrations and benchmarks.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_A.3
"""

import random
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.dataset.syntaxes import CT_IMAGE_STORAGE, EXPLICIT_LITTLE
from adapters.dicom.network.scu import Instance

_SHORT = struct.Struct("<HH2sH")
_LONG = struct.Struct("<HH2sHI")
_LONG_VRS = frozenset((b"OB", b"OW"))
_SPACING_MM = 0.7
_THICKNESS_MM = 1.25
_AIR, _WATER, _BONE = 24, 1024, 2024
_FIRST_DAY = datetime(2024, 1, 1, 8, 0, 0)  # noqa: DTZ001  (a scanner's local time)


@dataclass(frozen=True, slots=True)
class Study:
    """A study to make up: everything in it follows from the seed."""

    seed: int
    slices: int
    size: int = 512
    accession_number: str = ""
    patient_id: str = ""


def uid(*parts: object) -> str:
    """Return a UID that follows from `parts`, under 2.25 (PS3.5, B.2)."""
    source = random.Random("/".join(map(str, parts)))  # noqa: S311  (no secret)
    return f"2.25.{source.getrandbits(122) | 1 << 122}"


def person(seed: int) -> tuple[str, str]:
    """Return birth date (DA) and sex of the made-up patient of a seed, in every study the same."""
    source = random.Random(seed)  # noqa: S311  (no secret)
    born = date(1940, 1, 1) + timedelta(days=source.randrange(25_000))
    return f"{born:%Y%m%d}", source.choice("FM")


def instances(study: Study) -> Iterator[Instance]:
    """Yield the CT Image Storage instances of a study, one series, in order of slices."""
    pixels = phantom(study.size, study.seed)
    row = study.size * 2
    for number in range(1, study.slices + 1):
        # A slice is the phantom moved up by some rows, so that no two have equal pixels.
        shift = (number * 7 % study.size) * row
        sop_instance_uid = uid(study.seed, "instance", number)
        yield Instance(
            CT_IMAGE_STORAGE,
            sop_instance_uid,
            EXPLICIT_LITTLE,
            _data_set(study, number, sop_instance_uid, pixels[shift:] + pixels[:shift]),
        )


def write(directory: Path, study: Study) -> list[Path]:
    """Write a study's instances as files and return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, one in enumerate(instances(study), 1):
        path = directory / f"ct{study.seed:06d}-{number:05d}.dcm"
        meta = file_meta(one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid)
        path.write_bytes(meta + one.data_set)
        paths.append(path)
    return paths


def _data_set(study: Study, number: int, sop_instance_uid: str, pixels: bytes) -> bytes:
    birth_date, sex = person(study.seed)
    taken = _FIRST_DAY + timedelta(minutes=study.seed * 17 % 500_000)
    day, clock = f"{taken:%Y%m%d}", f"{taken:%H%M%S}"
    position = -_THICKNESS_MM * number
    edge = -_SPACING_MM * study.size / 2
    elements: list[tuple[int, bytes, str | int | bytes]] = [
        (0x00080008, b"CS", "ORIGINAL\\PRIMARY\\AXIAL"),
        (0x00080016, b"UI", CT_IMAGE_STORAGE),
        (0x00080018, b"UI", sop_instance_uid),
        (0x00080020, b"DA", day),
        (0x00080021, b"DA", day),
        (0x00080022, b"DA", day),
        (0x00080023, b"DA", day),
        (0x00080030, b"TM", clock),
        (0x00080031, b"TM", clock),
        (0x00080032, b"TM", clock),
        (0x00080033, b"TM", clock),
        (0x00080050, b"SH", study.accession_number or f"SIM{study.seed:08d}"),
        (0x00080060, b"CS", "CT"),
        (0x00080070, b"LO", "Sangam"),
        (0x00080090, b"PN", "Referrer^Simulated"),
        (0x00081010, b"SH", "SIMCT"),
        (0x00081030, b"LO", "CT chest, simulated"),
        (0x0008103E, b"LO", "Axial"),
        (0x00081090, b"LO", "Simulator"),
        (0x00100010, b"PN", f"Simulated^P{study.seed}"),
        (0x00100020, b"LO", study.patient_id or f"SIM{study.seed:08d}"),
        (0x00100030, b"DA", birth_date),
        (0x00100040, b"CS", sex),
        (0x00180015, b"CS", "CHEST"),
        (0x00180050, b"DS", f"{_THICKNESS_MM}"),
        (0x00180060, b"DS", "120"),
        (0x00185100, b"CS", "HFS"),
        (0x0020000D, b"UI", uid(study.seed, "study")),
        (0x0020000E, b"UI", uid(study.seed, "series")),
        (0x00200010, b"SH", f"S{study.seed}"),
        (0x00200011, b"IS", "1"),
        (0x00200012, b"IS", "1"),
        (0x00200013, b"IS", str(number)),
        (0x00200032, b"DS", f"{edge:.2f}\\{edge:.2f}\\{position:.2f}"),
        (0x00200037, b"DS", "1\\0\\0\\0\\1\\0"),
        (0x00200052, b"UI", uid(study.seed, "frame")),
        (0x00201040, b"LO", ""),
        (0x00280002, b"US", 1),
        (0x00280004, b"CS", "MONOCHROME2"),
        (0x00280010, b"US", study.size),
        (0x00280011, b"US", study.size),
        (0x00280030, b"DS", f"{_SPACING_MM}\\{_SPACING_MM}"),
        (0x00280100, b"US", 16),
        (0x00280101, b"US", 12),
        (0x00280102, b"US", 11),
        (0x00280103, b"US", 0),
        (0x00281050, b"DS", "40"),
        (0x00281051, b"DS", "400"),
        (0x00281052, b"DS", "-1024"),
        (0x00281053, b"DS", "1"),
        (0x7FE00010, b"OW", pixels),
    ]
    return b"".join(_element(*element) for element in elements)


def _element(tag: int, vr: bytes, value: str | int | bytes) -> bytes:
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode("ascii")
        value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    if vr in _LONG_VRS:
        return _LONG.pack(tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    return _SHORT.pack(tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def phantom(size: int, seed: int) -> bytes:
    """Return `size` rows of a disc of water with a core of bone in air, and noise."""
    noise = random.Random(seed).randbytes(size * size)  # noqa: S311  (no secret)
    middle, outer, inner = size / 2, (size * 0.45) ** 2, (size * 0.1) ** 2
    pixels = array("H", bytes(size * size * 2))
    for y in range(size):
        for x in range(size):
            distance = (x - middle) ** 2 + (y - middle) ** 2
            tissue = _BONE if distance < inner else _WATER if distance < outer else _AIR
            pixels[y * size + x] = tissue + noise[y * size + x] % 16
    if struct.pack("=H", 1) != struct.pack("<H", 1):
        pixels.byteswap()
    return pixels.tobytes()
