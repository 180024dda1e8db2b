"""The settings of the catalog."""

from dataclasses import dataclass

from environs import validate

from services.common.config import ServiceConfig, reading_environment


@dataclass(frozen=True, kw_only=True)
class CatalogConfig:
    """Settings of one catalog process."""

    service: ServiceConfig
    store_url: str
    sweep_interval_seconds: float


def read_config() -> CatalogConfig:
    """Read the environment; a missing or bad variable ends the process and is named."""
    with reading_environment() as env:
        return CatalogConfig(
            service=ServiceConfig.read(env),
            store_url=env.str("STORE_URL"),
            sweep_interval_seconds=env.float(
                "SWEEP_INTERVAL_SECONDS", 2.0, validate=validate.Range(0.1, 3600)
            ),
        )
