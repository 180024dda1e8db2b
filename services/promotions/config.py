"""The settings of the promotions, read from the environment."""

from dataclasses import dataclass

from environs import validate

from services.common.config import ServiceConfig, reading_environment

REDIS_URL = r"^(rediss?|unix)://"


@dataclass(frozen=True, kw_only=True)
class PromotionsConfig:
    """Settings of one promotions process."""

    service: ServiceConfig
    store_url: str


def read_config() -> PromotionsConfig:
    """Read the environment; a missing or bad variable ends the process and is named."""
    with reading_environment() as env:
        return PromotionsConfig(
            service=ServiceConfig.read(env),
            store_url=env.str("STORE_URL", validate=validate.Regexp(REDIS_URL)),
        )
