"""The queries of the dashboards and the alerts, and the metrics that they name."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.paths import ROOT
from services.storefront.ops.queries import MESH

DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
OURS = re.compile(r"\b(?:(?:mamie|grpc_server|envoy|rabbitmq|process)_[a-z0-9_]+|edge:[a-z0-9_:]+)")
"""The names of metrics begin so; no label and no function does, but for QUOTED and LABELS."""
QUOTED = re.compile(r'"[^"]*"')
LABELS = frozenset({"envoy_response_code_class", "envoy_cluster_name"})


def dashboard_queries(folder: Path = DASHBOARDS) -> Iterator[tuple[str, str]]:
    """Yield where each query of a dashboard is, and the query."""
    for file in sorted(folder.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", target["expr"]


def rules(file: Path = RULES) -> Iterator[Mapping[str, Any]]:
    """Yield every rule: alerts, and what is recorded."""
    for group in yaml.safe_load(file.read_text())["groups"]:
        yield from group["rules"]


def all_queries() -> Iterator[tuple[str, str]]:
    """Yield where each query is, and the query: of the dashboards, of /ops, and of the rules."""
    yield from dashboard_queries()
    for name, query in MESH.items():
        yield f"/ops: {name}", query
    for rule in rules():
        yield f"rules.yml: {rule.get('alert') or rule['record']}", rule["expr"]


def names_in(query: str) -> set[str]:
    """Return the metrics that a query names."""
    return set(OURS.findall(QUOTED.sub("", query))) - LABELS


def metric_of(name: str) -> str:
    """Return the metric of a series: a histogram has three, each with a suffix."""
    return re.sub(r"_(bucket|sum|count)$", "", name)
