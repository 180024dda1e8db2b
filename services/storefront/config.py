"""Configuration of the storefront service."""

from dataclasses import dataclass

from environs import Env, validate

from services.common.config import ServiceConfig, parsed_by, reading_environment
from services.storefront.ops.json_over_http import parse_url


@dataclass(frozen=True, kw_only=True)
class StorefrontConfig:
    """Settings of one storefront process.

    `part_timeout_seconds` is the timeout of each part of a page, below any caller's deadline. The
    URLs are of what /ops asks (docs/ops.md), each empty without one.
    """

    service: ServiceConfig
    part_timeout_seconds: float
    prometheus_url: str
    trace_store_url: str
    trace_viewer_url: str


def read_config() -> StorefrontConfig:
    """Read the environment; a missing or bad variable ends the process and is named."""
    with reading_environment() as env:
        return StorefrontConfig(
            service=ServiceConfig.read(env),
            part_timeout_seconds=env.float(
                "PART_TIMEOUT_SECONDS", 0.8, validate=validate.Range(0.01, 4)
            ),
            prometheus_url=_read_url(env, "PROMETHEUS_URL"),
            trace_store_url=_read_url(env, "TRACE_STORE_URL"),
            trace_viewer_url=_read_url(env, "TRACE_VIEWER_URL"),
        )


def _read_url(env: Env, name: str) -> str:
    return parse_url(env.str(name, "", validate=parsed_by(parse_url)))
