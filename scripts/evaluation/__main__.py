"""Measure the recommendations on a temporary graph (scripts/evaluate)."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.evaluation import completejourney, latency, loading, metrics, synthetic
from scripts.evaluation.graph import KINDS, configured_kind, temporary_graph
from scripts.stack.neo4j import Neo4jMissingError
from scripts.stack.units import UnitFailedError
from services.recommendations.repository import BoltRecommendationsRepository, connect

CUSTOMERS = 2_000
COLUMNS = ("orders", "customers", "recommender", "hit rate", "interval", "above popularity")
console = Console(width=110)
Graph = tuple[BoltRecommendationsRepository, loading.Query]


def main() -> int:
    """Run the evaluation that the command line names."""
    options = _parser().parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder, _graph(options.graph, folder) as graph:
            console.print(f"graph: {options.graph}")
            if options.latency:
                _show_latency(graph, options.customers, options.products, options.purchases)
            else:
                _show_hit_rates(graph)
    except (Neo4jMissingError, UnitFailedError) as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/evaluate", description=__doc__)
    parser.add_argument("--graph", choices=sorted(KINDS), default=configured_kind())
    parser.add_argument("--latency", action="store_true", help="measure the latency instead")
    parser.add_argument("--customers", type=int, default=10_000, help="of the latency's shop")
    parser.add_argument("--products", type=int, default=1_000, help="of the latency's shop")
    parser.add_argument("--purchases", type=int, default=20, help="at most, of a customer there")
    return parser


@contextmanager
def _graph(kind: str, folder: str) -> Iterator[Graph]:
    """Yield an empty temporary graph."""
    with temporary_graph(kind, Path(folder)) as url:
        driver, database = connect(url)
        with driver:
            repository = BoltRecommendationsRepository(driver, database)
            repository.migrate()
            yield (
                repository,
                lambda query, **parameters: (
                    driver.execute_query(query, parameters, database_=database).records
                ),
            )


def _show_hit_rates(graph: Graph) -> None:
    table = Table(box=None, padding=(0, 2), title="hit rate at 5 (95 % interval)")
    for title in COLUMNS:
        table.add_column(title)
    _add_rows(table, graph, synthetic.generate_history(CUSTOMERS))
    if completejourney.is_installed():
        _add_rows(table, graph, completejourney.read_history())
    else:
        print("the supermarket's orders are not installed", file=sys.stderr)
    console.print(table)


def _add_rows(table: Table, graph: Graph, history: synthetic.History) -> None:
    """Measure the three recommenders on one history."""
    repository, query = graph
    split = metrics.split(history)
    loading.delete_all(query)
    loading.load(query, history, split.training)
    recommenders = {
        "graph": metrics.graph_recommender(repository),
        "popularity": metrics.popularity_recommender(split.training),
        "random": metrics.random_recommender(history),
    }
    results = {name: metrics.hits(each, split.cases) for name, each in recommenders.items()}
    for name, hits in results.items():
        lift = [a - b for a, b in zip(hits, results["popularity"], strict=True)]
        table.add_row(
            history.name,
            str(len(hits)),
            name,
            f"{sum(hits) / len(hits):.1%}",
            "{:.1%} to {:.1%}".format(*metrics.confidence_interval(hits)),
            "{:+.1%} to {:+.1%}".format(*metrics.confidence_interval(lift))
            if name == "graph"
            else "",
        )


def _show_latency(graph: Graph, customers: int, products: int, purchases: int) -> None:
    repository, query = graph
    history = latency.generate_large_history(customers, products, purchases)
    loading.load(query, history, history.orders)
    query("CREATE (:Client {user_id: 'new-dog', animal_type: 'dog', as_of: 0, bucket: 0})")
    console.print(f"{customers} customers, {products} products")
    for title, user_ids in (
        ("existing customers", sorted(history.animals)),
        ("new customers", ["new-customer"]),
        ("new customers with an animal", ["new-dog"]),
    ):
        durations = latency.measure(repository, user_ids)
        p50, p99 = (latency.percentile(durations, share) for share in (0.5, 0.99))
        console.print(f"{title}: p50 {p50:.0f} ms, p99 {p99:.0f} ms ({len(durations)} calls)")


if __name__ == "__main__":
    raise SystemExit(main())
