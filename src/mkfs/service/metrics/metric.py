"""What a metric is: a row of the table."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import final

from msgspec import Struct

from mkfs.histogram import Distribution
from mkfs.service.metrics.moment import Moment


@final
class Kind(Enum):
    """As Prometheus has them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"  # a gauge that is always 1; what it says is in its labels


@final
class Stability(Enum):
    """What may be relied upon."""

    STABLE = "stable"
    EXPERIMENTAL = "experimental"  # may be renamed, or go, with any version


@final
class Label(Struct, frozen=True):
    """A label and all of its values; without any: one for each process."""

    name: str
    values: tuple[str, ...] = ()


Value = (
    float | Distribution | Mapping[tuple[str], float] | Mapping[tuple[str, str], float]
)  # a mapping: by the values of the labels


@final
class Metric(Struct, frozen=True, kw_only=True):
    """One metric. `read` takes it from a moment; None where it says nothing now. Process metrics have another source."""

    name: str
    kind: Kind
    help: str
    unit: str = ""  # a base unit, which the name ends in
    labels: tuple[Label, ...] = ()
    stability: Stability = Stability.STABLE
    read: Callable[[Moment], Value | None] | None = None
