"""Metrics of the process, mounted or not."""

from typing import Final

from mkfs.service.metrics.metric import Kind, Label, Metric, Stability

# Of the process, mounted or not.
PROCESS: Final = (
    Metric(
        name="mkfs_build_info",
        kind=Kind.INFO,
        help="Always 1; the labels say what runs.",
        labels=(Label("version"), Label("python")),
    ),
    Metric(
        name="mkfs_mount_ready",
        kind=Kind.GAUGE,
        help="1 while the directory is mounted and served, else 0.",
    ),
    Metric(
        name="mkfs_loop_lag_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="How late the loop wakes, measured once a second: all requests wait that long at least.",
        stability=Stability.EXPERIMENTAL,
    ),
)

# Of the process, from prometheus_client: named as in the exporters of other programs.
COLLECTED: Final = (
    Metric(
        name="process_cpu_seconds_total",
        kind=Kind.COUNTER,
        unit="seconds",
        help="Total user and system CPU time spent in seconds.",
    ),
    Metric(
        name="process_resident_memory_bytes",
        kind=Kind.GAUGE,
        unit="bytes",
        help="Resident memory size in bytes.",
    ),
    Metric(
        name="process_virtual_memory_bytes",
        kind=Kind.GAUGE,
        unit="bytes",
        help="Virtual memory size in bytes.",
    ),
    Metric(
        name="process_start_time_seconds",
        kind=Kind.GAUGE,
        unit="seconds",
        help="Start time of the process since unix epoch in seconds.",
    ),
    Metric(name="process_open_fds", kind=Kind.GAUGE, help="Number of open file descriptors."),
    Metric(name="process_max_fds", kind=Kind.GAUGE, help="Maximum number of open file descriptors."),
)
