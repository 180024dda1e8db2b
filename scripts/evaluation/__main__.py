"""The command behind scripts/evaluate."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.evaluation import baskets, journey, latency, loading, measuring
from scripts.evaluation.graph import KINDS, kind_wanted, own_graph
from scripts.stack.neo4j import Neo4jMissingError
from scripts.stack.units import UnitFailedError
from services.recommendations.repository import BoltRecommendationsRepository, connect

CLIENTS = 2_000
console = Console(width=110)
Graph = tuple[BoltRecommendationsRepository, loading.Query]


def main() -> int:
    """Run what the command line asks for, on a graph that is started for it."""
    options = _parser().parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder, _graph(options.graph, folder) as graph:
            console.print(f"graph: {options.graph}")
            (_show_latency if options.latency else _show_hit_rates)(graph)
    except (Neo4jMissingError, UnitFailedError) as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/evaluate", description=__doc__)
    parser.add_argument("--graph", choices=sorted(KINDS), default=kind_wanted())
    parser.add_argument("--latency", action="store_true", help="how long one takes instead")
    return parser


@contextmanager
def _graph(kind: str, folder: str) -> Iterator[Graph]:
    """Yield a graph of one's own, without anything in it."""
    with own_graph(kind, Path(folder)) as url:
        driver, database = connect(url)
        with driver:
            repository = BoltRecommendationsRepository(driver, database)
            repository.migrate()
            yield (
                repository,
                lambda query, **facts: (
                    driver.execute_query(query, facts, database_=database).records
                ),
            )


def _show_hit_rates(graph: Graph) -> None:
    table = Table(box=None, padding=(0, 2), title="hit rate at 5 (95 % interval)")
    for title in ("orders", "clients", "recommender", "hit rate", "interval", "above popularity"):
        table.add_column(title)
    _add_rows(table, graph, baskets.make_history(CLIENTS))
    if journey.is_installed():
        _add_rows(table, graph, journey.read_history())
    else:
        print("the supermarket's orders are not installed", file=sys.stderr)
    console.print(table)


def _add_rows(table: Table, graph: Graph, history: baskets.History) -> None:
    """Measure the three recommenders on one history."""
    repository, query = graph
    held_out = measuring.split(history)
    loading.empty(query)
    loading.load(query, history, held_out.training)
    results = {
        name: measuring.hits(recommender, held_out.cases)
        for name, recommender in (
            ("ours", measuring.ours(repository)),
            ("popularity", measuring.popularity(held_out.training)),
            ("random", measuring.anything(history)),
        )
    }
    count = len(held_out.cases)
    for name, hits in results.items():
        low, high = measuring.interval(hits)
        more = [a - b for a, b in zip(hits, results["popularity"], strict=True)]
        table.add_row(
            history.name,
            str(count),
            name,
            f"{sum(hits) / count:.1%}",
            f"{low:.1%} to {high:.1%}",
            "{:+.1%} to {:+.1%}".format(*measuring.interval(more)) if name == "ours" else "",
        )


def _show_latency(graph: Graph) -> None:
    repository, query = graph
    history = latency.make_large_history()
    loading.load(query, history, history.orders)
    console.print(f"{latency.CLIENTS} clients, {latency.PRODUCTS} products")
    for what, names in (
        ("one recommendation", sorted(history.animals)),
        ("for clients who are new", ["nobody"]),
    ):
        took = latency.measure(repository, names)
        p50, p99 = (latency.percentile(took, share) for share in (0.5, 0.99))
        console.print(f"{what}: p50 {p50:.0f} ms, p99 {p99:.0f} ms ({len(took)} calls)")


if __name__ == "__main__":
    raise SystemExit(main())
