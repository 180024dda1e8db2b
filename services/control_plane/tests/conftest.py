"""Fixtures that the control plane's tests share with those of services.common."""

from services.common.tests.conftest import consul_url, log  # noqa: F401
