"""The settings of payments."""

from dataclasses import dataclass, replace

from environs import validate

from services.common.config import ServiceConfig, reading_environment

READING_THREADS = 8
"""Threads for calls that do not wait for the provider."""


@dataclass(frozen=True, kw_only=True)
class PaymentsConfig:
    """Settings of one payments process.

    At most `provider_concurrency` captures and as many refunds wait for the provider at once,
    `provider_concurrency_per_customer` of each for one customer.
    """

    service: ServiceConfig
    store_url: str
    provider_timeout_seconds: float
    provider_concurrency: int
    provider_concurrency_per_customer: int
    sandbox_slow_seconds: float

    @property
    def with_threads(self) -> ServiceConfig:
        """Return the settings of the server, with a thread for each call that may wait."""
        threads = 2 * self.provider_concurrency + READING_THREADS
        return replace(self.service, worker_threads=max(threads, self.service.worker_threads))


def read_config() -> PaymentsConfig:
    """Read the environment; a missing or bad variable ends the process and is named."""
    with reading_environment() as env:
        return PaymentsConfig(
            service=ServiceConfig.read(env),
            store_url=env.str("STORE_URL"),
            provider_timeout_seconds=env.float(
                "PROVIDER_TIMEOUT_SECONDS", 10.0, validate=validate.Range(0.1, 60)
            ),
            provider_concurrency=env.int(
                "PROVIDER_CONCURRENCY", 24, validate=validate.Range(1, 120)
            ),
            provider_concurrency_per_customer=env.int(
                "PROVIDER_CONCURRENCY_PER_CUSTOMER", 4, validate=validate.Range(1, 120)
            ),
            sandbox_slow_seconds=env.float(
                "SANDBOX_SLOW_SECONDS", 3.0, validate=validate.Range(0, 3600)
            ),
        )
