"""Processor time is that of the whole process tree, also of processes that ended."""

import os
import subprocess
import sys
import time

from benchmarks.processes import Watch

SPIN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SPIN!r}])\ninput()\n"


def test_time_of_an_ended_child_stays_counted() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE) as parent:
        watch = Watch((parent.pid,))
        end = time.monotonic() + 20
        while (used := watch.look()).server_cpu < 0.25 and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.5)
        after = watch.look()
        parent.communicate(b"\n")
    assert 0.25 <= used.server_cpu <= after.server_cpu < 5
    assert after.database_cpu == 0


def test_memory_is_resident_memory_of_the_tree() -> None:
    used = Watch((os.getpid(),)).look()
    assert 10e6 < used.server_memory < 4e9
