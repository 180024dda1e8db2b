"""Configuration of the storefront service."""

from dataclasses import dataclass

from environs import validate

from services.common.config import ServiceConfig, reading_environment


@dataclass(frozen=True, kw_only=True)
class StorefrontConfig:
    """Settings of one storefront process.

    `part_timeout_seconds` is the timeout of each part of a page, below any caller's deadline.
    """

    service: ServiceConfig
    part_timeout_seconds: float


def read_config() -> StorefrontConfig:
    """Read the environment; a missing or bad variable ends the process and is named."""
    with reading_environment() as env:
        return StorefrontConfig(
            service=ServiceConfig.read(env),
            part_timeout_seconds=env.float(
                "PART_TIMEOUT_SECONDS", 0.8, validate=validate.Range(0.01, 4)
            ),
        )
