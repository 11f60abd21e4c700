"""examples/grafana/cachefleet.json from the table of panels below: what Grafana shows of GET /metrics. No effects here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

NODES = '{group=~"$group",node=~"$node"}'
GROUPS = '{group=~"$group"}'
NOT_OK = '{code!="OK"}'
WINDOW = "[5m]"  # nodes are measured once a minute unless they are told otherwise
COLUMNS, WIDTH, HEIGHT = 3, 8, 7
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Panel(NamedTuple):
    """queries: (PromQL, legend). unit: Grafana's name of it."""

    title: str
    about: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _rate(name: str, labels: str = "") -> str:
    return f"rate({name}{labels}{WINDOW})"


def _node_rate(name: str, by: str = "node") -> str:
    return f"sum by ({by}) ({_rate(f'cachefleet_node_{name}', NODES)})"


def _quantile(name: str, by: str = "") -> str:
    return f"histogram_quantile(0.99, sum by (le{by}) ({_rate(f'{name}_bucket')}))"


def _node(name: str) -> str:
    return f"cachefleet_node_{name}{NODES}"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Caches",
        (
            Panel("Nodes", "Nodes that answered when they were measured last.", "short",
                  ((f"sum by (group) ({_node('up')})", "{{group}} up"),
                   (f"count by (group) ({_node('up')} == 0)", "{{group}} down"))),
            Panel("Hit rate", "Reads that found their key, of all reads.", "percentunit",
                  ((f"{_node_rate('keyspace_hits_total')} / ({_node_rate('keyspace_hits_total')} + "
                    f"{_node_rate('keyspace_misses_total')})", "{{node}}"),)),
            Panel("Commands", "By family, as CloudWatch has them.", "ops",
                  ((_node_rate("commands_total", "family"), "{{family}}"),)),
            Panel("Time for a command", "That the engine ran it, on average.", "s",
                  ((f"{_node_rate('command_seconds_total', 'family')} / {_node_rate('commands_total', 'family')}",
                    "{{family}}"),)),
            Panel("Memory used", "Of what data may take.", "percentunit",
                  ((f"{_node('memory_used_bytes')} / {_node('memory_max_bytes')}", "{{node}}"),)),
            Panel("Keys", "In all databases.", "short", ((_node("keys"), "{{node}}"),)),
            Panel("Keys lost", "To eviction, and to their time.", "ops",
                  ((_node_rate("evicted_keys_total"), "{{node}} evicted"),
                   (_node_rate("expired_keys_total"), "{{node}} expired"))),
            Panel("Clients", "Connections of clients.", "short", ((_node("connected_clients"), "{{node}}"),)),
            Panel("New connections", "And those refused because there were too many.", "ops",
                  ((_node_rate("connections_total"), "{{node}}"),
                   (_node_rate("rejected_connections_total"), "{{node}} refused"))),
            Panel("Processor time", "Of the engine's main thread: 1 is all that it can have.", "percentunit",
                  ((_node_rate("main_thread_cpu_seconds_total"), "{{node}}"),)),
            Panel("Network", "Received, and sent (below zero).", "Bps",
                  ((_node_rate("network_received_bytes_total"), "{{node}} in"),
                   (f"-{_node_rate('network_sent_bytes_total')}", "{{node}} out"))),
            Panel("Replication", "How old is what replicas have, and who has no primary.", "s",
                  ((_node("replication_lag_seconds"), "{{node}}"),
                   (f"{_node('replication_link_up')} == 0", "{{node}} is cut off"))),
            Panel("Refused", "Wrong passwords and tokens; what users may not do.", "ops",
                  ((_node_rate("auth_failures_total"), "{{node}} logins"),
                   (_node_rate("denied_commands_total"), "{{node}} commands"),
                   (_node_rate("denied_keys_total"), "{{node}} keys"))),
        ),
    ),
    (
        "Snapshots",
        (
            Panel("Age of the last proof", "Since a snapshot of the group was restored as a proof.", "s",
                  ((f"time() - cachefleet_snapshot_proof_timestamp_seconds{GROUPS}", "{{group}}"),)),
            Panel("Proof failed", "Groups whose last proof did not go well.", "short",
                  ((f"cachefleet_snapshot_proof_succeeded{GROUPS} == 0", "{{group}}"),)),
            Panel("Snapshots in a day", "By how they ended; proofs, too.", "short",
                  (("sum by (outcome) (increase(cachefleet_snapshots_total[1d]))", "{{outcome}}"),
                   ("sum by (outcome) (increase(cachefleet_snapshot_proofs_total[1d]))", "proof {{outcome}}"))),
        ),
    ),
    (
        "Service",
        (
            Panel("Requests", "By operation.", "reqps",
                  ((f"sum by (operation) ({_rate('cachefleet_api_requests_total')})", "{{operation}}"),)),
            Panel("Errors", "Requests that were refused, by code.", "reqps",
                  ((f"sum by (code) ({_rate('cachefleet_api_requests_total', NOT_OK)})",
                    "{{code}}"),)),
            Panel("Slowest requests", "99 % were answered faster.", "s",
                  ((_quantile("cachefleet_api_request_duration_seconds", ", operation"), "{{operation}}"),)),
            Panel("Lag of the event loop", "99 % of sleepers were woken faster.", "s",
                  ((_quantile("cachefleet_event_loop_lag_seconds", ", instance"), "{{instance}}"),)),
            Panel("Passes of the control loop", "By how they ended.", "ops",
                  ((f"sum by (outcome) ({_rate('cachefleet_controller_pass_duration_seconds_count')})", "{{outcome}}"),)),
            Panel("Slowest passes", "99 % were faster, actions included.", "s",
                  ((_quantile("cachefleet_controller_pass_duration_seconds"), "all"),)),
            Panel("Groups that wait", "For a worker of the control loop; and those that are acted on.", "short",
                  (("cachefleet_controller_queue_depth", "{{instance}} waiting"),
                   ("cachefleet_controller_acting_groups", "{{instance}} acting"))),
            Panel("Longest wait", "Of a group for a worker.", "s",
                  (("cachefleet_controller_queue_oldest_seconds", "{{instance}}"),)),
            Panel("Transactions", "By how they ended.", "ops",
                  ((f"sum by (outcome) ({_rate('cachefleet_store_transactions_total')})", "{{outcome}}"),)),
            Panel("Measured nodes", "Each time that one was, or did not answer.", "ops",
                  ((f"sum by (outcome) ({_rate('cachefleet_collector_nodes_total')})", "{{outcome}}"),)),
            Panel("Metrics on their way", "Blocks that are not stored yet, and values that were lost.", "short",
                  (("cachefleet_metric_blocks_waiting", "{{instance}} blocks"),
                   ("increase(cachefleet_metric_values_lost_total[5m])", "{{instance}} lost"))),
            Panel("Alarms evaluated", "By this service.", "ops",
                  ((_rate("cachefleet_alarm_evaluations_total"), "{{instance}}"),)),
            Panel("Notifications", "Messages for subscribers of topics, by how they ended.", "ops",
                  ((f"sum by (outcome) ({_rate('cachefleet_notices_total')})", "{{outcome}}"),)),
            Panel("Spans", "Sent to the collector of traces, or lost.", "ops",
                  ((f"sum by (outcome) ({_rate('cachefleet_spans_total')})", "{{outcome}}"),)),
            Panel("Leader", "1 where the control loop runs.", "short", (("cachefleet_leader", "{{instance}}"),)),
            Panel("Cost by the hour", "Of all nodes on demand, by the price list, without reservations.", "short",
                  (("max(cachefleet_on_demand_cost_per_hour)", "cost"),)),
            Panel("Engines", "Processes of caches.", "short", (("cachefleet_engine_processes", "{{instance}}"),)),
            Panel("Room on the disk", "Of the data folder.", "bytes", (("cachefleet_data_free_bytes", "{{instance}}"),)),
            Panel("Memory of the service", "That is not swapped out.", "bytes",
                  (("cachefleet_process_resident_memory_bytes", "{{instance}}"),)),
            Panel("Processor time of the service", "1 is one core.", "percentunit",
                  ((_rate("cachefleet_process_cpu_seconds_total"), "{{instance}}"),)),
        ),
    ),
)  # fmt: skip


def grafana_dashboard() -> str:
    return (
        json.dumps(
            {
                "uid": "cachefleet",
                "title": "Cachefleet",
                "description": "Caches, their snapshots and the service itself. Generated by `make docs`: do not edit.",
                "tags": ["cachefleet"],
                "schemaVersion": 39,
                "version": 1,
                "editable": True,
                "refresh": "1m",
                "time": {"from": "now-6h", "to": "now"},
                "templating": {"list": list(_variables())},
                "panels": list(_panels()),
            },
            indent=1,
        )
        + "\n"
    )


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"}
    for name, query in (
        ("group", "label_values(cachefleet_node_up, group)"),
        ("node", f"label_values(cachefleet_node_up{GROUPS}, node)"),
    ):
        yield {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": SOURCE,
            "definition": query,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        }


def _panels() -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for title, panels in ROWS:
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": _at(0, y, 24, 1)}
        for place, panel in enumerate(panels):
            number += 1
            yield {
                "id": number,
                "type": "timeseries",
                "title": panel.title,
                "description": panel.about,
                "datasource": SOURCE,
                "gridPos": _at(place % COLUMNS * WIDTH, y + 1 + place // COLUMNS * HEIGHT, WIDTH, HEIGHT),
                "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
                "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
                "targets": [
                    {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query, "legendFormat": legend}
                    for index, (query, legend) in enumerate(panel.queries)
                ],
            }
        y += 1 + -(-len(panels) // COLUMNS) * HEIGHT


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}
