"""What a mount keeps of memory it has freed: one heap's worth, however many threads there are."""

import subprocess
import sys
from typing import Final

from mkfs.service.mounted import KEPT_BYTES
from mkfs.units import KIB, MIB

# Each of eight threads has 24 pieces at once, frees them, and lives on: as the threads do that read for a mount.
_PROGRAM: Final = f"""
import threading
from mkfs.service.mounted import keep_freed_memory

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon:"))

keep_freed_memory()
before = resident()
freed, over = threading.Barrier(9), threading.Event()

def use():
    [b"x" * {MIB} for _ in range(24)].clear()
    freed.wait()
    over.wait()

for _ in range(8):
    threading.Thread(target=use, daemon=True).start()
freed.wait()
print(resident() - before)
over.set()
"""


def test_threads_keep_no_heaps_of_their_own() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) * KIB < 2 * KEPT_BYTES
