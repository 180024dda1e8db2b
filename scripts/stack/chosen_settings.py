"""The settings that a service reads because its manifest names them."""

from collections.abc import Mapping, Sequence

from scripts.stack.credentials import Secrets
from scripts.stack.ports import Ports
from scripts.stack.settings import Settings
from scripts.stack.traces import PATH


def chosen_settings(
    names: Sequence[str],
    *,
    settings: Settings,
    secrets: Secrets,
    ports: Ports,
    urls: Mapping[str, str],
) -> dict[str, str]:
    """Return those of the stack's settings that a manifest names (SETTINGS)."""
    known = {
        "ADMIN_EMAIL": settings.admin_email,
        "ADMIN_PASSWORD": secrets.get("admin"),
        "SMTP_URL": urls["smtp"],
        "PROMETHEUS_URL": _prometheus_url(settings, ports),
        "TRACE_STORE_URL": _trace_store_url(settings, urls),
        "TRACE_VIEWER_URL": "",
    }
    return {f"MAMIE_{name}": known[name] for name in names}


def _prometheus_url(settings: Settings, ports: Ports) -> str:
    if not settings.monitoring:
        return ""
    fixed = None if settings.free_ports else settings.prometheus_port
    return f"http://127.0.0.1:{ports.take('prometheus', fixed)}"


def _trace_store_url(settings: Settings, urls: Mapping[str, str]) -> str:
    """Return where traces are read; empty when another collector has them, or nobody."""
    if "traces" in settings.urls or not settings.trace_percent:
        return ""
    return urls["traces"].removesuffix(PATH)
