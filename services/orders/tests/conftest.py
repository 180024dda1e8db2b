"""Fixtures of the tests of orders."""

from services.common.tests.recording import recorded

__all__ = ["recorded"]
