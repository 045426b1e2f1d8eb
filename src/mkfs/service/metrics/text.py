"""The metrics as Prometheus and OpenMetrics want them written. Imports prometheus_client: only for a mount that exports."""

import math
import platform
from collections.abc import Iterator
from typing import Final, final

# ruff: noqa: TID253 - see above
from prometheus_client import CollectorRegistry, ProcessCollector, metrics_core
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from mkfs import __version__
from mkfs.histogram import Distribution
from mkfs.service.metrics.metric import Kind, Metric, Value
from mkfs.service.metrics.moment import Moment
from mkfs.service.metrics.of_process import PROCESS
from mkfs.service.metrics.table import MOUNT

OPENMETRICS_TYPE: Final = "application/openmetrics-text"
_OPENMETRICS: Final = f"{OPENMETRICS_TYPE}; version=1.0.0"


def text_of(moment: Moment | None, *, ready: bool, lag: Distribution, accept: str) -> tuple[bytes, str]:
    """What is exported, and its content type: OpenMetrics where `accept` (the request's header) asks for it, else text."""
    registry = CollectorRegistry(auto_describe=False)  # of this answer alone: nothing is shared with what else counts here
    registry.register(_Collector(moment, ready=ready, lag=lag))
    ProcessCollector(registry=registry)
    offers = {offer.partition(";")[0].strip().lower() for offer in accept.split(",")}
    encode, content_type = choose_encoder(
        _OPENMETRICS if OPENMETRICS_TYPE in offers else ""
    )  # it trips over other words of clients
    return encode(registry), content_type


@final
class _Collector(Collector):
    """Gives the table's metrics with their values at one moment; those of the process alone where nothing is mounted yet."""

    def __init__(self, moment: Moment | None, *, ready: bool, lag: Distribution) -> None:
        self._moment = moment
        build: Value = {(__version__, platform.python_version()): 1}
        self._process: dict[str, Value] = {
            "mkfs_build_info": build,
            "mkfs_mount_ready": int(ready),
            "mkfs_loop_lag_seconds": lag,
        }

    def collect(self) -> Iterator[metrics_core.Metric]:
        """Called by the registry."""
        for metric in PROCESS:
            yield _family(metric, self._process[metric.name])
        for metric in MOUNT if self._moment is not None else ():
            value = None if metric.read is None or self._moment is None else metric.read(self._moment)
            if value is not None:
                yield _family(metric, value)


def _family(metric: Metric, value: Value) -> metrics_core.Metric:
    """`metric` with its value, or one for each combination of its labels' values."""
    if isinstance(value, Distribution):
        bounds = [_spelled(bound) for bound in (*value.bounds, math.inf)]
        counts = list(zip(bounds, map(float, value.cumulative), strict=True))
        return metrics_core.HistogramMetricFamily(metric.name, metric.help, buckets=counts, sum_value=value.total, unit=metric.unit)
    names = [label.name for label in metric.labels]
    values: dict[tuple[str, ...], float] = {(): value} if isinstance(value, int | float) else dict(value.items())
    if metric.kind is Kind.INFO:
        told = metrics_core.InfoMetricFamily(metric.name.removesuffix("_info"), metric.help)
        for labels in values:
            told.add_metric([], dict(zip(names, labels, strict=True)))
        return told
    make = metrics_core.CounterMetricFamily if metric.kind is Kind.COUNTER else metrics_core.GaugeMetricFamily
    family = make(metric.name, metric.help, labels=names, unit=metric.unit)
    for labels, number in sorted(values.items()):
        family.add_metric(labels, number)
    return family


def _spelled(bound: float) -> str:
    """As OpenMetrics wants numbers in labels."""
    spelled: str = floatToGoString(bound)  # type: ignore[no-untyped-call]  # the library's own
    return spelled
