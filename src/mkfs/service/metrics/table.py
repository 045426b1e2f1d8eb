"""Every metric there is. docs/METRICS.md and what is exported come from here.

Rules of the table, after Prometheus' own (prometheus.io/docs/practices/naming): a name is `mkfs_`, what is counted, the base unit,
and `_total` where it only grows. A label has few values, all of them listed: never a path, a reference or a host, which
belong into logs and `status`. A metric that is *stable* keeps name, unit and labels until a major version.
"""

from typing import Final

from mkfs.service.metrics.of_layers import CACHE, LAYERS, PREFETCH
from mkfs.service.metrics.of_process import COLLECTED, PROCESS
from mkfs.service.metrics.of_requests import FUSE, REGISTRY

MOUNT: Final = (*FUSE, *REGISTRY, *CACHE, *LAYERS, *PREFETCH)
# All of them, as the page shows them.
SECTIONS: Final = {
    "The mount": PROCESS,
    "Requests of the kernel": FUSE,
    "Registries": REGISTRY,
    "The cache": CACHE,
    "Layers": LAYERS,
    "Ahead of readers": PREFETCH,
    "The process": COLLECTED,
}
ALL: Final = tuple(metric for metrics in SECTIONS.values() for metric in metrics)
