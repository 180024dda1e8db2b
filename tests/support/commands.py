"""The commands of scripts/, run on a stack as an operator runs them."""

import subprocess

from scripts.paths import ROOT
from scripts.stack.client import Stack

TIMEOUT_SECONDS = 60


def run_script(stack: Stack, name: str, *arguments: str) -> tuple[int, str]:
    """Run a command that must write no error; return its exit status and its output."""
    command = [str(ROOT / "scripts" / name), *arguments, "--data", str(stack.data)]
    done = subprocess.run(
        command, text=True, capture_output=True, timeout=TIMEOUT_SECONDS, check=False
    )
    assert not done.stderr
    return done.returncode, done.stdout
