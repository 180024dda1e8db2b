"""Configuration of the recommendations service."""

from dataclasses import dataclass

from environs import validate

from services.common.config import ServiceConfig, reading_environment

BOLT_URL = r"^(bolt|neo4j)(\+s|\+ssc)?://[^/]+/[^/]+$"
"""A URL with a database name: the default database of servers differs."""


@dataclass(frozen=True, kw_only=True)
class RecommendationsConfig:
    """Settings of one recommendations process."""

    service: ServiceConfig
    store_url: str


def read_config() -> RecommendationsConfig:
    """Read the environment; a missing or bad variable ends the process and is named."""
    with reading_environment() as env:
        return RecommendationsConfig(
            service=ServiceConfig.read(env),
            store_url=env.str("STORE_URL", validate=validate.Regexp(BOLT_URL)),
        )
