"""Renders `envoy/` into the one file that Envoy reads."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any

import yaml
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from scripts.stack.settings import ROOT

SOURCES = ROOT / "envoy"
LOCAL_ORIGINS = r"http://localhost(:\\d+)?"


def render_envoy(
    *,
    output: Path,
    http_port: int,
    https_port: int,
    admin_port: int,
    xds_addresses: Sequence[tuple[str, int]],
    rate_limit_per_minute: int,
    login_rate_limit_per_minute: int,
    certificate: Path,
    private_key: Path,
    descriptor_set: Path,
    trusted_hops: int = 0,
    host: str = "127.0.0.1",
    allowed_origins: str = LOCAL_ORIGINS,
) -> Path:
    values = {
        "HOST": host,
        "HTTP_PORT": http_port,
        "HTTPS_PORT": https_port,
        "ADMIN_PORT": admin_port,
        "CONTROL_PLANES": json.dumps(
            [
                {"endpoint": {"address": {"socket_address": {"address": h, "port_value": p}}}}
                for h, p in xds_addresses
            ]
        ),
        "RATE_LIMIT_PER_MINUTE": rate_limit_per_minute,
        "LOGIN_RATE_LIMIT_PER_MINUTE": login_rate_limit_per_minute,
        "CERTIFICATE": certificate,
        "PRIVATE_KEY": private_key,
        "DESCRIPTOR_SET": descriptor_set,
        "TRUSTED_HOPS": trusted_hops,
        "ALLOWED_ORIGINS": allowed_origins,
        "PATH_FIELDS": json.dumps(["id", "code"]),
    }

    def load(name):
        text = (SOURCES / name).read_text()
        if not name.endswith(".yaml"):
            return text
        return yaml.load(Template(text).substitute(values), Loader)

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!include", lambda loader, node: load(node.value))
    output.write_text(json.dumps(load("envoy.yaml"), indent=2))
    return output
