"""Where and when a run was made: the head of every report."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.memory import fresh_page_microseconds
from mkfs import __version__
from mkfs.units import GIB, format_size


def description(directory: Path, oras: Path) -> dict[str, str]:
    """What a reader needs to know of this machine, as name and words. `directory` is where the run keeps its files."""
    disk = os.statvfs(directory)
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} × {_processor()}, {memory_bytes / GIB:.0f} GiB, {platform.system()} {platform.release()}",
        "memory": f"{fresh_page_microseconds():.1f} µs for a page that was not in use (1 and more: see --steady)",
        "directory": f"{_file_system(directory)}, {format_size(disk.f_bavail * disk.f_frsize)} free",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()) + " (1, 5, 15 min before the run)",
        "versions": f"mkfs {__version__}, Python {sys.version.split()[0]}, {_oras_version(oras)}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    command = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown file system"


def _oras_version(oras: Path) -> str:
    words = subprocess.run([oras, "version"], capture_output=True, text=True, check=True).stdout.split()
    return f"oras {words[1]}"
