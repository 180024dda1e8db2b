"""Who takes part in a comparison: a process to start (or one that runs), and how to call it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace

from scripts.benchmarks.caller import Load, Result
from scripts.benchmarks.meter import CpuMeter
from scripts.stack.ports import free_port

START_TIMEOUT_SECONDS = 20.0


class ContenderFailedError(Exception):
    """A process did not start, or its callers failed; the text has its output."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One line of a comparison.

    `command` starts its process; "{port}" in it, in `environment` and in `load.target` is a free
    port. Without a command the server runs already. `pids` name further processes whose CPU counts,
    by group.
    """

    name: str
    load: Load
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    pids: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one round of a contender came to; `cpu_ms` is per call, by group of processes."""

    name: str
    result: Result
    cpu_ms: Mapping[str, float]

    @property
    def calls_per_second(self) -> float:
        """Return the throughput of the round."""
        return self.result.calls / self.result.seconds


@contextmanager
def running(contenders: Sequence[Contender]) -> Iterator[list[Contender]]:
    """Start every contender that has a command; yield them as they can be called."""
    with ExitStack() as processes:
        yield [processes.enter_context(_running(contender)) for contender in contenders]


@contextmanager
def _running(contender: Contender) -> Iterator[Contender]:
    if not contender.command:
        yield contender
        return
    port = str(free_port())
    environment = os.environ | dict(contender.environment)
    process = subprocess.Popen(
        [sys.executable, *(part.replace("{port}", port) for part in contender.command)],
        env={name: value.replace("{port}", port) for name, value in environment.items()},
        stdout=subprocess.DEVNULL,
    )
    target = contender.load.target.replace("{port}", port)
    started = replace(
        contender,
        load=replace(contender.load, target=target),
        pids={"server": [process.pid], **contender.pids},
    )
    try:
        _await_answer(started, process)
        yield started
    finally:
        process.terminate()
        process.wait()


def _await_answer(contender: Contender, process: subprocess.Popen) -> None:
    probe = replace(contender.load, callers=1, seconds=0.05)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            call(probe)
            return
        except ContenderFailedError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise


def measure(contender: Contender, seconds: float, callers: int) -> Measurement:
    """Call a contender for some seconds and return what each call cost."""
    meter = CpuMeter(contender.pids)
    before = meter.read()
    result = call(replace(contender.load, seconds=seconds, callers=callers))
    spent = meter.read().since(before)
    per_call = {name: total / result.calls for name, total in spent.items()}
    per_call["caller"] = result.cpu_ms / result.calls
    return Measurement(name=contender.name, result=result, cpu_ms=per_call)


def call(load: Load) -> Result:
    """Run a load in a process of its own; ContenderFailedError when it fails or calls do."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks.caller", json.dumps(asdict(load))],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ContenderFailedError(f"{load.target}: {done.stderr[-2000:]}")
    result = Result(**json.loads(done.stdout))
    if result.errors or not result.calls:
        raise ContenderFailedError(f"{load.target}: {result.errors} of its calls failed")
    return result
