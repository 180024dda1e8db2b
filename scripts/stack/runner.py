"""Runs a plan: starts what can be started, watches over it, takes commands, stops it all.

A unit starts as soon as everything it needs is ready, each in a thread of its own. What
runs is written to `state.json` all the time, so that after the death of the runner itself
the next one finds what is left and ends it.
"""

import contextlib
import json
import os
import signal
import socketserver
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from scripts.stack.plan import Plan, log_folder, service_unit, store_url
from scripts.stack.settings import REPLACEABLE
from scripts.stack.units import RunningUnit, Unit, UnitFailedError, kill_group


class Runner:
    """Runs one stack. `changed` is called whenever the state of a unit changes."""

    def __init__(self, plan: Plan, changed: Callable[[], None] = lambda: None) -> None:
        self.plan = plan
        self.units: dict[str, RunningUnit] = {}
        self.healthy = threading.Event()
        self.failure = ""
        self._changed = changed
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._data = plan.settings.data
        log_folder(self._data).mkdir(parents=True, exist_ok=True)
        for unit in plan.units:
            self._add(unit)

    def start(self) -> None:
        """Start everything, in the order of what needs what; UnitFailedError names what fails."""
        futures: dict[str, Future] = {}
        with ThreadPoolExecutor(len(self.units)) as starters:
            for unit in self.plan.units:
                needed = [futures[name] for name in unit.after]
                futures[unit.name] = starters.submit(self._start_after, unit.name, needed)
        for future in futures.values():
            future.result()
        self.healthy.set()

    def _start_after(self, name: str, needed: list[Future]) -> None:
        for future in needed:
            future.result()
        if not self._stopping.is_set():
            self.units[name].start()

    def stop(self) -> None:
        """Stop everything: the edge, the services together, then the servers."""
        self._stopping.set()
        running = list(self.units.values())
        edge = [unit for unit in running if unit.unit.name == "envoy"]
        last = [unit for unit in running if unit.unit.name in REPLACEABLE]
        between = [unit for unit in running if unit not in edge and unit not in last]
        for together in (edge, between, last):
            if together:
                with ThreadPoolExecutor(len(together)) as stoppers:
                    list(stoppers.map(RunningUnit.stop, together))

    def scale(self, name: str, instances: int) -> None:
        """Start or stop instances of a service until there are `instances`."""
        service = next(service for service in self.plan.services if service.name == name)
        wanted = {f"{name}-{number}": number for number in range(1, instances + 1)}
        present = {unit for unit in self.units if unit.removeprefix(f"{name}-").isdigit()}
        for extra in sorted(present - set(wanted)):
            self.units.pop(extra).stop()
        missing = [number for unit, number in wanted.items() if unit not in self.units]
        added = [self._add(replace(service_unit(self.plan, service, n), after=())) for n in missing]
        if added:
            with ThreadPoolExecutor(len(added)) as starters:
                list(starters.map(RunningUnit.start, added))
        self._save()

    def describe(self) -> dict[str, Any]:
        """Return the state of the stack, as JSON can hold it."""
        return {
            "pid": os.getpid(),
            "healthy": self.healthy.is_set(),
            "failure": self.failure,
            "urls": self.plan.urls,
            "stores": {
                service.name: store_url(self.plan, service)
                for service in self.plan.services
                if service.store
            },
            "admin": {
                "email": self.plan.settings.admin_email,
                "password": self.plan.secrets.get("admin"),
            },
            "units": [self._describe_unit(unit) for unit in list(self.units.values())],
        }

    def _describe_unit(self, running: RunningUnit) -> dict[str, Any]:
        return {
            "name": running.unit.name,
            "state": running.state,
            "pid": running.pid,
            "restarts": running.restarts,
            "task": running.unit.task,
        }

    def _add(self, unit: Unit) -> RunningUnit:
        log = log_folder(self._data) / f"{unit.name}.log"
        running = RunningUnit(unit, log, self._note_change)
        self.units[unit.name] = running
        return running

    def _note_change(self) -> None:
        self._save()
        self._changed()

    def _save(self) -> None:
        """Write down which processes run, by id and start time: ids are used again."""
        # On a full disk, what runs goes on all the same.
        with self._lock, contextlib.suppress(OSError):
            alive = [unit.pid for unit in list(self.units.values())]
            known = [_identify(pid) for pid in (os.getpid(), *alive) if pid]
            fresh = self._data / "state.json.new"
            fresh.write_text(json.dumps([entry for entry in known if entry]))
            fresh.rename(self._data / "state.json")


def _identify(pid: int) -> tuple[int, float] | None:
    try:
        return pid, psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def clean_up(data: Path) -> int:
    """End what a runner left that died itself; return how many processes that were."""
    state = data / "state.json"
    left = [
        psutil.Process(pid) for pid, born in _read_state(state) if _identify(pid) == (pid, born)
    ]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(left, timeout=15)
    for process in left:
        kill_group(process.pid)
    state.unlink(missing_ok=True)
    return len(left)


def _read_state(state: Path) -> list[tuple[int, float]]:
    return [tuple(entry) for entry in json.loads(state.read_text())] if state.exists() else []


class ControlServer(socketserver.ThreadingUnixStreamServer):
    """Takes commands, one JSON object a line, on a socket in the data directory."""

    daemon_threads = True

    def __init__(self, runner: Runner, stop: Callable[[], None]) -> None:
        self.path = runner.plan.settings.data / "control.sock"
        self.path.unlink(missing_ok=True)
        super().__init__(str(self.path), _ControlHandler)
        self.runner = runner
        self.stop_stack = stop

    def serve_in_background(self) -> None:
        """Begin to take commands."""
        threading.Thread(target=self.serve_forever, name="control", daemon=True).start()

    def execute(self, command: dict[str, Any]) -> Any:
        """Do what a command says and return its answer."""
        runner = self.runner
        match command:
            case {"do": "describe"}:
                return runner.describe()
            case {"do": "scale", "service": name, "instances": count}:
                return runner.scale(name, count)
            case {"do": "kill", "unit": name, "signal": number}:
                return runner.units[name].kill(number)
            case {"do": "hold", "unit": name}:
                return runner.units[name].hold()
            case {"do": "resume", "unit": name}:
                return runner.units[name].resume()
            case {"do": "stop"}:
                return self.stop_stack()
        raise ValueError(f"unknown command {command}")


class _ControlHandler(socketserver.StreamRequestHandler):
    """Answers one connection: a command, an answer."""

    server: ControlServer

    def handle(self) -> None:
        """Execute the command and answer {"ok": ...} or {"error": "..."}."""
        try:
            answer = {"ok": self.server.execute(json.loads(self.rfile.readline()))}
        except (KeyError, ValueError, StopIteration, UnitFailedError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


def stop_on_signals(stopping: threading.Event) -> None:
    """Set an event on SIGINT, SIGTERM and when the terminal goes away."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
