"""The settings of payments."""

from dataclasses import dataclass

from environs import validate

from services.common.config import ServiceConfig, reading_environment


@dataclass(frozen=True, kw_only=True)
class PaymentsConfig:
    """Settings of one payments process."""

    service: ServiceConfig
    store_url: str
    provider_timeout_seconds: float
    sandbox_slow_seconds: float


def read_config() -> PaymentsConfig:
    """Read the environment; a missing or bad variable ends the process and is named."""
    with reading_environment() as env:
        return PaymentsConfig(
            service=ServiceConfig.read(env),
            store_url=env.str("STORE_URL"),
            provider_timeout_seconds=env.float(
                "PROVIDER_TIMEOUT_SECONDS", 10.0, validate=validate.Range(0.1, 60)
            ),
            sandbox_slow_seconds=env.float(
                "SANDBOX_SLOW_SECONDS", 3.0, validate=validate.Range(0, 3600)
            ),
        )
