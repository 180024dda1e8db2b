"""scripts/bench runs: every contender starts, is called and is in the report."""

import subprocess
import sys

import pytest

from scripts.benchmarks.verify_stock import ECHOES, FAIR_PEER, NATIVE_SHOP, SHOP
from scripts.paths import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.local]


def test_a_quick_benchmark_reports_every_contender_and_writes_nothing(stack):
    before = (ROOT / "docs" / "results" / "performance.md").exists()
    command = [sys.executable, "-m", "scripts.benchmarks", "--quick", "--data", str(stack.data)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert ran.returncode == 0, ran.stderr[-2000:]
    for name in (SHOP, NATIVE_SHOP, FAIR_PEER, *ECHOES, "a product, cached", "The monolith"):
        assert name in ran.stdout
    assert (ROOT / "docs" / "results" / "performance.md").exists() == before


def test_a_short_crowd_of_shoppers_buys_without_a_failure(stack, shop):
    command = [sys.executable, "-m", "scripts.load.shoppers", "20", "--minutes", "0.1"]
    options = ["--print-only", "--think", "0.5", "--warm-up", "1", "--data", str(stack.data)]
    ran = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "failed: none" in ran.stdout
    for kind in ("home", "list", "search", "detail", "order", "track", "envoy"):
        assert f"| {kind} |" in ran.stdout
