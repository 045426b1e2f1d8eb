"""The table of metrics: the rules that `promtool check metrics` holds others to, the page, what is shipped to read it."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from mkfs.service.metrics.metric import Kind, Metric
from mkfs.service.metrics.of_process import COLLECTED, PROCESS
from mkfs.service.metrics.page import page_of
from mkfs.service.metrics.table import ALL, MOUNT

ROOT: Final = Path(__file__).resolve().parents[2]
SHIPPED: Final = ROOT / "deploy" / "prometheus"
PAGE: Final = (ROOT / "docs" / "METRICS.md").read_text()
RULES: Final = yaml.safe_load((SHIPPED / "mkfs-rules.yml").read_text())
DASHBOARD: Final = json.loads((SHIPPED / "grafana-dashboard.json").read_text())

BASE_UNITS: Final = {"seconds", "bytes"}
# promtool: names that hold these belong to another unit, or repeat the type.
WRONG_WORDS: Final = re.compile(r"milli|micro|nano|kilo|mega|giga|minutes|hours|percent|_ms\b|_kb\b|_mb\b|counter|gauge|histogram")
OF_SERIES: Final = re.compile(r"(_bucket|_count|_sum)$")
METRIC: Final = re.compile(r"\b(?:mkfs|process)_[a-z0-9_]+\b")
SELECTOR: Final = re.compile(r"\b((?:mkfs|process)_[a-z0-9_]+)\{([^}]*)\}")
MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
ADDED: Final = {"job", "instance", "mount"}  # labels that Prometheus adds

by_name: Final = {metric.name: metric for metric in ALL}


def each(metrics: tuple[Metric, ...]) -> Any:
    return pytest.mark.parametrize("metric", metrics, ids=lambda metric: metric.name)


@each(ALL)
def test_a_name_says_what_it_counts_in_which_unit(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", metric.name)
    assert metric.name.startswith("process_" if metric in COLLECTED else "mkfs_")
    assert not WRONG_WORDS.search(metric.name)
    assert not OF_SERIES.search(metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert metric.name.endswith("_info") == (metric.kind is Kind.INFO)
    bare = metric.name.removesuffix("_total")
    assert metric.unit in BASE_UNITS | {""}
    assert bare.endswith(f"_{metric.unit}") if metric.unit else not any(bare.endswith(f"_{unit}") for unit in BASE_UNITS)
    assert metric.kind is not Kind.HISTOGRAM or metric.unit


@each(ALL)
def test_a_metric_is_explained_in_a_line(metric: Metric) -> None:
    assert metric.help
    assert metric.help == metric.help.strip()
    assert metric.help.endswith(".")
    assert not {"\n", "|", "\\"} & set(metric.help)


@each(ALL)
def test_labels_have_few_values_and_never_a_name_of_the_users(metric: Metric) -> None:
    names = [label.name for label in metric.labels]
    assert len(set(names)) == len(names)
    for label in metric.labels:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", label.name)
        assert label.name not in {"le", "quantile", "path", "reference", "host", "registry", "repository", "digest", *ADDED}
        assert len(label.values) <= 16
        assert len(set(label.values)) == len(label.values)
        assert label.values or metric.kind is Kind.INFO


def test_no_name_is_there_twice_not_even_by_what_a_histogram_adds() -> None:
    series = [metric.name for metric in ALL]
    series += [
        metric.name + end for metric in ALL if metric.kind is Kind.HISTOGRAM for end in ("_bucket", "_count", "_sum", "_created")
    ]
    series += [metric.name.removesuffix("_total") for metric in ALL if metric.kind is Kind.COUNTER]  # OpenMetrics' family
    assert len(set(series)) == len(series)


def test_each_of_the_mount_says_where_it_is_read() -> None:
    assert [metric.name for metric in MOUNT if metric.read is None] == []
    assert [metric.name for metric in (*PROCESS, *COLLECTED) if metric.read is not None] == []
    assert {*PROCESS, *COLLECTED, *MOUNT} == set(ALL)


def test_the_page_is_what_the_code_says() -> None:
    assert page_of(PAGE) == PAGE, "python -m mkfs.service.metrics.page docs/METRICS.md"


def test_the_prose_of_the_page_names_nothing_that_is_not_there() -> None:
    assert unknown(PAGE) == set()


# --- deploy/prometheus


def expressions() -> list[str]:
    """Every expression that is shipped."""
    rules = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return rules + panels + [variable["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]


def unknown(text: str) -> set[str]:
    """Names of metrics that the table lacks."""
    return {name for name in METRIC.findall(text) if name not in by_name and metric_of(name) is None}


def metric_of(series: str) -> Metric | None:
    found = by_name.get(series)
    if found is None:
        found = by_name.get(OF_SERIES.sub("", series))
        return found if found is not None and found.kind is Kind.HISTOGRAM else None
    return found


@pytest.mark.parametrize("expression", expressions())
def test_what_is_shipped_asks_for_metrics_that_there_are(expression: str) -> None:
    assert unknown(expression) == set()
    assert METRIC.search(expression) or "up{" in expression or "mkfs:" in expression
    for name, matchers in SELECTOR.findall(expression):
        metric = metric_of(name)
        assert metric is not None
        values = {label.name: set(label.values) for label in metric.labels}
        for label, operator, wanted in MATCHER.findall(matchers):
            if label not in ADDED:
                options = wanted.split("|") if "~" in operator else [wanted]
                assert set(options) <= values[label], (name, label)


def test_the_rules_are_rules() -> None:
    recorded = {rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule}
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert set(rule) <= {"record", "alert", "expr", "for", "labels", "annotations"}
            assert ("record" in rule) is not ("alert" in rule)
            assert set(re.findall(r"\bmkfs:[\w:]+", rule["expr"])) <= recorded
            if "alert" in rule:
                assert rule["labels"]["severity"] in {"info", "warning", "critical"}
                assert rule["annotations"]["summary"]
                assert "for" not in rule or re.fullmatch(r"\d+[smhd]", rule["for"])
    alerts = [rule["alert"] for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(set(alerts)) == len(alerts)


def test_the_configuration_names_the_rules() -> None:
    configuration = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    assert configuration["rule_files"] == ["mkfs-rules.yml"]
    names = [job["job_name"] for job in configuration["scrape_configs"]]
    assert len(set(names)) == len(names)


def test_the_panels_of_the_dashboard_lie_apart() -> None:
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
