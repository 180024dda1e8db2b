"""The running shop that a benchmark measures, and where its page goes."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.paths import ROOT
from scripts.stack.client import Stack

RESULTS = ROOT / "docs" / "results"
NO_LIMITS = {
    "MAMIE_RATE_LIMIT_PER_MINUTE": "1000000",
    "MAMIE_LOGIN_RATE_LIMIT_PER_MINUTE": "1000000",
}


@contextmanager
def running_stack(data: Path | None) -> Iterator[Stack]:
    """Yield a running stack, one of its own without rate limits unless it is named."""
    if data:
        yield Stack(data)
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        up = [str(ROOT / "scripts" / "up"), "--detach", "--data", folder]
        try:
            chosen = {"MAMIE_MONITORING": "off"} | os.environ | NO_LIMITS
            subprocess.run(up, check=True, env=chosen, stdout=subprocess.DEVNULL)
            yield Stack(Path(folder))
        finally:
            subprocess.run([ROOT / "scripts" / "down", "--data", folder], check=True)
