"""A graph for the tests of this service alone, because they empty it.

MAMIE_NEO4J=community tests on a real Neo4j Community instead of the embedded graph;
MAMIE_TEST_NEO4J_URL names a running one, whose data is deleted.
"""

import os

import pytest

from scripts.evaluation.graph import configured_kind, temporary_graph
from scripts.evaluation.loading import delete_all
from services.recommendations.repository import BoltRecommendationsRepository, connect


@pytest.fixture(scope="session")
def graph_url(tmp_path_factory):
    if url := os.environ.get("MAMIE_TEST_NEO4J_URL"):
        yield url
        return
    with temporary_graph(configured_kind(), tmp_path_factory.mktemp("graph")) as url:
        yield url


@pytest.fixture(scope="session")
def graph(graph_url):
    """The driver's `execute_query` on a graph that has the service's schema."""
    driver, database = connect(graph_url)
    with driver:
        BoltRecommendationsRepository(driver, database).migrate()
        yield (
            lambda query, **parameters: (
                driver.execute_query(query, parameters, database_=database).records
            )
        )


@pytest.fixture
def store(graph, graph_url):
    """The repository on an empty graph."""
    delete_all(graph)
    driver, database = connect(graph_url)
    with driver:
        yield BoltRecommendationsRepository(driver, database)
