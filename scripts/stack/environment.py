"""The environments of the stack's processes: what each needs, and nothing of the developer's.

Proxies and the variables that Consul, PostgreSQL, Redis, RabbitMQ, Python, Java or the loader
read would change what the processes do; a secret in an environment belongs to one process.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_OF_THE_STACK = frozenset(
    {
        *("HTTP_PORT", "HTTPS_PORT", "ENVOY_ADMIN_PORT", "CONSUL_PORT", "NEO4J"),
        *("MONITORING", "PROMETHEUS_PORT", "ALERTMANAGER_PORT"),
        *("RATE_LIMIT_PER_MINUTE", "LOGIN_RATE_LIMIT_PER_MINUTE", "TRUSTED_PROXY_HOPS"),
        *(
            "INSTANCE",
            "HOST",
            "PORT",
            "METRICS_PORT",
            "ADVERTISE_HOST",
            "XDS_SERVERS",
            "ADMIN_EMAIL",
        ),
        "TRACE_PERCENT",
    }
)
"""Settings of the stack as a whole; the plan gives each process those that it needs."""
_SECRET = re.compile(r"URL|PASSWORD|SECRET|TOKEN|CREDENTIALS?|KEY|FILE")


def private_environment(home: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what every process has; dot files are read from, and written to, `home`."""
    return {
        "PATH": environ.get("PATH", SYSTEM_PATH),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TMPDIR": environ.get("TMPDIR", "/tmp"),  # noqa: S108 - the default of the system
    }


def tuning(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the MAMIE_* variables with which a person tunes the services; none is a secret."""
    return {
        name: value
        for name, value in environ.items()
        if name.startswith("MAMIE_") and _tunes(name.removeprefix("MAMIE_"))
    }


def _tunes(name: str) -> bool:
    return name not in _OF_THE_STACK and not _SECRET.fullmatch(name.rpartition("_")[2])
