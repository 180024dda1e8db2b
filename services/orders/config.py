"""The settings of orders, read from the environment."""

from dataclasses import dataclass

from environs import validate

from services.common.config import ServiceConfig, reading_environment


@dataclass(frozen=True, kw_only=True)
class OrdersConfig:
    """Settings of one orders process."""

    service: ServiceConfig
    store_url: str
    stock_hold_seconds: int
    streams_per_customer: int
    reconciliation_round_seconds: int


def read_config() -> OrdersConfig:
    """Read the environment; a missing or bad variable is named and ends the process."""
    with reading_environment() as env:
        return OrdersConfig(
            service=ServiceConfig.read(env),
            store_url=env.str("STORE_URL"),
            stock_hold_seconds=env.int(
                "STOCK_HOLD_SECONDS", 900, validate=validate.Range(1, 86_400)
            ),
            streams_per_customer=env.int(
                "STREAMS_PER_CUSTOMER", 5, validate=validate.Range(1, 10_000)
            ),
            reconciliation_round_seconds=env.int(
                "RECONCILIATION_ROUND_SECONDS", 86_400, validate=validate.Range(60, 30 * 86_400)
            ),
        )
