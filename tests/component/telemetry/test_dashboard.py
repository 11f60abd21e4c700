"""What examples/ asks Prometheus for is what GET /metrics has: every name of the dashboard and of the alerting rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml  # type: ignore[import-untyped]

from cachefleet.app.own_gauges import watch_parts
from cachefleet.app.parts import Parts
from cachefleet.metrics.formulas import Reading
from cachefleet.metrics.instruments import Instruments
from cachefleet.model.group import Engine
from cachefleet.model.observed import Usage
from cachefleet.telemetry.exposition import LABELS, Exposition, NodeLabels
from cachefleet.telemetry.recorder import Recorder
from cachefleet.telemetry.usage_ledger import COST
from scripts.generate_docs import DASHBOARD
from tests.component.control.stage import Stage
from tests.fakes.clock import ManualClock

ALERTS = DASHBOARD.parents[1] / "prometheus" / "alerts.yml"
NAME = re.compile(r"\bcachefleet_\w+")
LABEL = re.compile(r"[{,(]\s*(\w+)\s*(?:=~|!=|=)")
ENDS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


class Everything(dict[str, float]):
    """An engine that tells all that it could."""

    def __contains__(self, field: object) -> bool:
        return True

    def __missing__(self, field: str) -> float:
        return 1.0


def watched(folder: Path) -> Instruments:
    """As app has them, over a control plane without a service."""
    instruments, stage = Instruments(), Stage()

    class Host:
        def running(self) -> int:
            return 1

    class Made:
        leadership, controller, host = stage.leadership, stage.controller, Host()

    recorder = Recorder(cast(Any, None), stage.clock, "writer")
    instruments.gauge("cachefleet_metric_blocks_waiting", "w", recorder.waiting)
    instruments.gauge(COST, "c", lambda: 0.0)
    watch_parts(instruments, cast(Parts, Made), folder)
    return instruments


def sample_names(text: str) -> set[str]:
    """Of all families of an exposition, also of those that have no sample yet."""
    names = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            names |= {name.removesuffix("_total") + end for end in ENDS[kind]}
    return names


def exposed(folder: Path) -> tuple[set[str], set[str]]:
    """Names of samples, and of labels, of a service with a node of each engine."""
    clock, instruments = ManualClock(), watched(folder)
    exposition = Exposition(clock, instruments)
    reading = Reading(0.0, Everything({"cmdstat_get.calls": 1.0}), Usage(1.0, 1.0, 1, 1, 1), lag_s=1.0)
    nodes = [
        (NodeLabels("0", "r", engine, "0001", f"{engine}-001", "primary", "r-1a", engine), reading)
        for engine in (Engine.VALKEY, Engine.MEMCACHED)
    ]
    exposition.tell(nodes, 60)
    names = sample_names(exposition.text().decode())
    counted = [one for one in instruments.families() if one.labels]
    return names, {*LABELS, "family", "le", "instance", "job"} | {label for one in counted for label in one.labels}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        yield from group["rules"]


def queries() -> list[str]:
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [*shown, *(one["definition"] for one in variables if "definition" in one), *(rule["expr"] for rule in rules())]


def asked_names() -> set[str]:
    return {name for query in queries() for name in NAME.findall(query)}


def test_every_metric_and_label_that_is_asked_for_is_there(tmp_path: Path) -> None:
    names, labels = exposed(tmp_path)
    assert len(asked_names()) > 40
    assert sorted(asked_names() - names) == []
    assert {label for query in queries() for label in LABEL.findall(query)} <= labels


def test_all_that_the_service_counts_of_itself_is_shown(tmp_path: Path) -> None:
    """A new instrument has its place in the dashboard."""
    stems = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in asked_names()}
    assert {one.name for one in watched(tmp_path).families()} - stems == {"cachefleet_leader_token"}


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    places = [panel["gridPos"] for panel in panels()]
    cells = [(place["x"] + x, place["y"] + y) for place in places for x in range(place["w"]) for y in range(place["h"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    ids = [panel["id"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    assert len(ids) == len(set(ids))
    names = {one["name"] for one in json.loads(DASHBOARD.read_text())["templating"]["list"]}
    assert names == {"datasource", "group", "node"}
    assert {name for query in queries() for name in re.findall(r"\$(\w+)", query)} <= names


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_bad_it_is_and_what_is_wrong(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info") and rule["annotations"]["summary"]
