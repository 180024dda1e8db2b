"""One process of the stack: how it is started, checked, restarted and stopped."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.paths import ROOT

POLL_SECONDS = 0.1
READY_TIMEOUT_SECONDS = 120.0
MIN_BACKOFF_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 30.0
STABLE_SECONDS = 60.0


class UnitFailedError(Exception):
    """A process ended, or was not ready in time; the message has the end of its log."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A named process of the stack.

    `ready` raises or returns False until the process can be used. A unit starts when those that
    are named in `after` are ready. A `task` is ready when it has ended. The stack also starts
    without a unit that is not `essential`.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], object] = lambda: True
    after: Sequence[str] = ()
    task: bool = False
    essential: bool = True
    stop_seconds: float = 15.0


class RunningUnit:
    """A unit's process, restarted with exponential backoff when it ends by itself.

    It has the variables of `environment` and of its unit, none of this process.

    Each process leads a session of its own: a Ctrl-C in the terminal reaches only the runner,
    which then stops them in order.
    """

    def __init__(
        self,
        unit: Unit,
        log: Path,
        changed: Callable[[], None],
        environment: Mapping[str, str],
    ) -> None:
        self.unit = unit
        self.state = "waiting"
        self.restarts = 0
        self.held = False
        self._log = log
        self._environment = environment
        self._changed = changed
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._stopping = threading.Event()
        self._resumed = threading.Event()
        self._launched = threading.Event()
        self._started = threading.Event()
        self._watching: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id while the process runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process, wait until it is ready, and restart it whenever it ends.

        UnitFailedError when it cannot be started, ends, or is not ready in time.
        """
        if self.unit.task:
            self._launch()
            self._finish_task()
            return
        self._watching = threading.Thread(target=self._watch, name=self.unit.name, daemon=True)
        self._watching.start()
        self._launched.wait()
        try:
            self._await_ready()
        except UnitFailedError:
            self._stopping.set()  # a process that was never ready is not restarted
            raise
        finally:
            self._started.set()

    def stop(self) -> None:
        """Stop the process: SIGTERM, then SIGKILL for its session after `stop_seconds`."""
        with self._lock:  # no process is launched after this
            self._stopping.set()
        self._resumed.set()
        process = self._process
        if process and process.poll() is None:
            self._set("stopping")
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.unit.stop_seconds)
            kill_group(process.pid)
            process.wait()
        if self._watching:
            self._watching.join()
        self._set("stopped")

    def kill(self, number: int) -> None:
        """Send a signal to the process and its children."""
        if pid := self.pid:
            os.killpg(pid, number)

    def hold(self) -> None:
        """Do not restart the process until `resume`."""
        self._resumed.clear()
        self.held = True

    def resume(self) -> None:
        """Restart the process if it has ended, and whenever it ends."""
        self.held = False
        self._resumed.set()

    def _launch(self) -> None:
        with self._lock, self._log.open("ab") as output:
            if self._stopping.is_set():
                return
            self._process = subprocess.Popen(
                list(self.unit.command),
                cwd=ROOT,
                env={**self._environment, **self.unit.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._set("starting")

    def _finish_task(self) -> None:
        if self._process and (code := self._process.wait()):
            self._set("failed")
            raise UnitFailedError(f"{self.unit.name} ended with status {code}\n{self.last_lines()}")
        self._set("done")

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while not self._is_ready():
            if self._stopping.is_set():
                return
            if self._process is None or self._process.poll() is not None:
                self._fail("ended")
            if time.monotonic() > deadline:
                self._fail("was not ready in time")
            time.sleep(POLL_SECONDS)
        self._set("ready")

    def _fail(self, how: str) -> None:
        self._set("failed")
        raise UnitFailedError(f"{self.unit.name} {how}\n{self.last_lines()}")

    def _is_ready(self) -> bool:
        try:
            return bool(self.unit.ready())
        except Exception:  # noqa: BLE001 - any error of a probe means "not ready yet"
            return False

    def _watch(self) -> None:
        """Launch the process whenever it has ended, until the stack stops.

        One thread does it all, for as long as the process lives: Envoy's wheel asks the kernel
        to kill the process with the thread that started it.
        """
        try:
            self._launch()
        except OSError as error:
            self._log.write_text(f"{error}\n")
            return
        finally:
            self._launched.set()
        backoff = MIN_BACKOFF_SECONDS
        while self._process:
            began = time.monotonic()
            self._process.wait()
            kill_group(self._process.pid)  # its children must not run beside the next process
            self._started.wait()
            if self._stopping.is_set():
                return
            backoff = MIN_BACKOFF_SECONDS if time.monotonic() - began > STABLE_SECONDS else backoff
            self._set("crashed")
            if self._back_off(backoff):
                return
            backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)
            self.restarts += 1
            self._restart()

    def _back_off(self, seconds: float) -> bool:
        """Wait before a restart; return whether the stack stops meanwhile."""
        if self.held:
            self._resumed.wait()
        return self._stopping.wait(seconds)

    def _restart(self) -> None:
        self._launch()
        try:
            self._await_ready()
        except UnitFailedError:
            kill_group(self._process.pid if self._process else None)

    def _set(self, state: str) -> None:
        self.state = state
        self._changed()

    def last_lines(self, count: int = 15) -> str:
        """Return the end of the process's log."""
        lines = self._log.read_text(errors="replace").splitlines()[-count:]
        return "\n".join(f"  | {line[:300]}" for line in lines)


def kill_group(pid: int | None) -> None:
    """Kill the session that a process leads."""
    with contextlib.suppress(ProcessLookupError):
        if pid:
            os.killpg(pid, signal.SIGKILL)
