"""The settings of the control plane, and its policy."""

from dataclasses import dataclass

from services.common.config import ServiceConfig, reading_environment
from services.control_plane import resources
from services.control_plane.policy import Policy, read_policy


@dataclass(frozen=True, kw_only=True)
class ControlPlaneConfig:
    """Settings of one control plane process."""

    service: ServiceConfig
    policy: Policy


def read_config() -> ControlPlaneConfig:
    """Read the environment and policy.yaml; a bad value ends the process and is named."""
    with reading_environment() as env:
        policy = read_policy()
        resources.check(policy)
        return ControlPlaneConfig(service=ServiceConfig.read(env), policy=policy)
