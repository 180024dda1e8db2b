"""A difference between compose.yaml and what scripts/up starts is reported."""

import os

import pytest
import yaml

from scripts.containers.check import COMPOSE, find_problems, wrong_defaults


@pytest.fixture(autouse=True)
def default_settings(monkeypatch):
    """Unset all settings."""
    for name in [name for name in os.environ if name.startswith("MAMIE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def services():
    return yaml.safe_load(COMPOSE.read_text())["services"]


def test_compose_and_the_local_stack_are_the_same(services):
    assert list(find_problems(services)) == []
    assert list(wrong_defaults(COMPOSE.read_text())) == []


def lose_service(services):
    del services["payments"]


def lose_instance(services):
    services["catalog"]["deploy"]["replicas"] = 4


def forget_verb(services):
    services["recommendations-prepare"]["command"].remove("declare")


def forget_variable(services):
    del services["notifications"]["environment"]["MAMIE_SMTP_URL"]


def invent_variable(services):
    services["orders"]["environment"]["MAMIE_STOCK_HOLD_SECONDS"] = 5


def move_port(services):
    services["users"]["environment"]["MAMIE_PORT"] = 8002


def start_too_early(services):
    del services["catalog"]["depends_on"]["notifications-prepare"]


def start_before_store(services):
    del services["promotions-prepare"]["depends_on"]["redis"]


def leave_the_bus(services):
    services["catalog"]["networks"].remove("bus")


def join_another_store(services):
    services["storefront"]["networks"].append("postgres")


def lose_secret(services):
    services["stores-prepare"]["secrets"].remove("payments-store-url")


def loosen_durability(services):
    services["redis"]["command"].remove("always")


def let_transactions_hang(services):
    services["mongodb"]["command"].remove("transactionLifetimeLimitSeconds=2")


def shrink_postgres(services):
    services["postgres"]["command"].remove("max_connections=200")


def use_other_envoy(services):
    services["envoy"]["image"] = "envoyproxy/envoy:v1.39.0"


def tune_neo4j(services):
    services["neo4j"]["environment"]["NEO4J_server_memory_pagecache_size"] = "1g"


@pytest.mark.parametrize(
    ("drift", "problem"),
    [
        (lose_service, "payments is missing"),
        (lose_instance, "catalog: 4 instances, not 5"),
        (forget_verb, "recommendations-prepare: the command is"),
        (forget_variable, "notifications: MAMIE_SMTP_URL is missing"),
        (invent_variable, "orders: MAMIE_STOCK_HOLD_SECONDS is not known"),
        (move_port, "users: MAMIE_PORT is 8002, not 8001"),
        (start_too_early, "catalog: does not wait for notifications-prepare"),
        (start_before_store, "promotions-prepare: does not wait for redis"),
        (leave_the_bus, "catalog: the networks are ['mesh', 'postgres'], not ['bus', 'mesh', "),
        (join_another_store, "storefront: the networks are ['mesh', 'postgres'], not ['mesh']"),
        (lose_secret, "stores-prepare: the secret payments-store-url is missing"),
        (loosen_durability, "redis: the command lacks '--appendfsync always'"),
        (let_transactions_hang, "mongodb: the command lacks '--setParameter transaction"),
        (shrink_postgres, "postgres: the command lacks 'max_connections=200'"),
        (use_other_envoy, "envoy is envoyproxy/envoy:v1.39.0"),
        (tune_neo4j, "neo4j: NEO4J_server_memory_pagecache_size is 1g, not 32m"),
    ],
)
def test_a_difference_is_reported(services, drift, problem):
    drift(services)
    (found, *_) = find_problems(services)
    assert found.startswith(problem)


def test_a_different_default_is_reported():
    text = COMPOSE.read_text().replace("MAMIE_HTTP_PORT:-8080", "MAMIE_HTTP_PORT:-80")
    assert list(wrong_defaults(text)) == ["MAMIE_HTTP_PORT is 80 by default, not 8080"]
