"""CT slices on disk, and `storescu` sending them.

DICOM PS3.3 A.3 (CT Image), PS3.4 annex B (storage). dcmtk's storescu leaves
Nagle's algorithm on unless TCP_NODELAY=1 stands in its environment.
"""

import os
import random
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from adapters.dicom.simulation.computed_tomography import Study, write


@dataclass(frozen=True, slots=True)
class Sent:
    """What one or several storescu runs achieved: `failed` of them sent nothing that counts."""

    instances: int
    seconds: float
    failed: int

    @property
    def rate(self) -> float:
        """Instances a second, association set-up included."""
        return self.instances / self.seconds


def write_study(directory: Path, slices: int) -> None:
    """Write `slices` CT slices of one new study, 512 by 512 at 16 bits."""
    write(directory, Study(random.SystemRandom().randrange(10**9), slices))


def send(address: tuple[str, int], called: str, directories: list[Path], *, no_delay: bool) -> Sent:
    """Send each directory on an association of its own, all at once."""
    storescu = shutil.which("storescu")
    if storescu is None:
        raise FileNotFoundError("storescu (Debian package dcmtk)")
    environment = dict(os.environ)
    environment.pop("TCP_NODELAY", None)
    if no_delay:
        environment["TCP_NODELAY"] = "1"
    host, port = address
    begun = time.perf_counter()
    running = [
        subprocess.Popen(
            [storescu, "-aec", called, "+sd", host, str(port), str(directory)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for directory in directories
    ]
    codes = [process.wait() for process in running]
    seconds = time.perf_counter() - begun
    # storescu stops at the first refusal, so what a failed run did send is not known.
    sent = [place for place, code in zip(directories, codes, strict=True) if code == 0]
    instances = sum(len(list(place.iterdir())) for place in sent)
    return Sent(instances, seconds, len(directories) - len(sent))
