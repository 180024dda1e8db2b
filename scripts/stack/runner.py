"""Runs a plan: starts its units, restarts those that crash, executes commands, stops all units.

A unit starts as soon as everything it needs is ready, each in a thread of its own. The
processes that run are written to `state.json` at every change: when the runner itself dies,
the next one ends them.
"""

import contextlib
import json
import os
import signal
import socketserver
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from scripts.edge.running import EdgeError, await_clusters, await_listeners
from scripts.manifests import ManifestError, read_services
from scripts.stack.environment import private_environment
from scripts.stack.folder import SOCKET
from scripts.stack.plan import (
    Plan,
    databases,
    listeners_file,
    log_folder,
    render_edge,
    service_unit,
    store_url,
    task_name,
    units_of,
)
from scripts.stack.ports import PortTakenError
from scripts.stack.readiness import await_upstreams
from scripts.stack.servers import prepare_databases
from scripts.stack.settings import REPLACEABLE
from scripts.stack.units import RunningUnit, Unit, UnitFailedError, kill_group

FAILURES = (
    *(KeyError, ValueError, StopIteration),
    *(UnitFailedError, ManifestError, PortTakenError, EdgeError),
)
"""What a command answers with its message."""


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
        home = self._data / "home"
        home.mkdir(mode=0o700, exist_ok=True)
        self._environment = private_environment(home)
        for unit in plan.units:
            self._add(unit)

    def start(self) -> None:
        """Start all units; UnitFailedError names the one that fails, or is not connected."""
        self._start_units(self.plan.units)
        if not self._stopping.is_set():
            self._await_mesh()
        self.healthy.set()

    def _await_mesh(self) -> None:
        """Wait until every instance is connected to the upstreams of its service."""
        for service in self.plan.services:
            for instance in sorted(self._instances(service.name)):
                await_upstreams(self.plan.urls["consul"], instance, service.upstreams)

    def _start_units(self, units: Sequence[Unit]) -> None:
        """Start units, each when those of them that it needs are ready."""
        names = {unit.name for unit in units}
        futures: dict[str, Future] = {}
        with ThreadPoolExecutor(len(units) or 1) as starters:
            for unit in units:
                needed = [futures[name] for name in unit.after if name in names]
                futures[unit.name] = starters.submit(self._start_after, unit.name, needed)
        for future in futures.values():
            future.result()

    def _start_after(self, name: str, needed: list[Future]) -> None:
        for future in needed:
            future.result()
        if not self._stopping.is_set():
            with contextlib.suppress(*self._tolerated(name)):
                self.units[name].start()

    def _tolerated(self, name: str) -> tuple[type[Exception], ...]:
        """Return what may keep a unit from starting, while the stack does start."""
        return () if self.units[name].unit.essential else (UnitFailedError,)

    def stop(self) -> None:
        """Stop all units: the edge, the services together, then the servers."""
        self._stopping.set()
        running = list(self.units.values())
        edge = [unit for unit in running if unit.unit.name == "envoy"]
        last = [unit for unit in running if unit.unit.name in REPLACEABLE]
        between = [unit for unit in running if unit not in edge and unit not in last]
        for together in (edge, between, last):
            if together:
                with ThreadPoolExecutor(len(together)) as stoppers:
                    list(stoppers.map(RunningUnit.stop, together))

    def scale(self, service: str, instances: int) -> None:
        """Start or stop instances of a service until there are `instances`."""
        manifest = next(each for each in self.plan.services if each.name == service)
        units = [service_unit(self.plan, manifest, n) for n in range(1, instances + 1)]
        self._drop(self._instances(service) - {unit.name for unit in units})
        added = [unit for unit in units if unit.name not in self.units]
        for unit in added:
            self._add(unit)
        self._start_units(added)
        self._save()

    def reload(self) -> dict[str, list[str]]:
        """Adopt the manifests and protos as they are now.

        Services that were added are started, the edge is configured anew, services that were
        removed are stopped. Returns their names under "added" and "removed". Other changes of
        a manifest need a restart of the stack.
        """
        before = self.plan.services
        self.plan.services = read_services()
        names = {service.name for service in before}
        added = [service for service in self.plan.services if service.name not in names]
        removed = names - {service.name for service in self.plan.services}
        units = [unit for service in added for unit in units_of(self.plan, service)]
        try:
            self._adopt(units)
            public = [service.name for service in added if service.public]
            await_clusters(self.plan.urls["envoy_admin"], public)
        except Exception:
            self.plan.services = before
            self._drop(unit.name for unit in units)
            raise
        for name in removed:
            self._drop([*self._instances(name), task_name(name)])
        return {"added": [service.name for service in added], "removed": sorted(removed)}

    def _instances(self, service: str) -> set[str]:
        return {name for name in self.units if name.removeprefix(f"{service}-").isdigit()}

    def _adopt(self, units: Sequence[Unit]) -> None:
        if "postgres" not in self.plan.settings.urls:
            prepare_databases(self.plan.urls["postgres"], databases(self.plan), self.plan.secrets)
        for unit in units:
            self._add(unit)
        self._start_units(units)
        render_edge(self.plan)
        await_listeners(self.plan.urls["envoy_admin"], listeners_file(self.plan))

    def _drop(self, names: Iterable[str]) -> None:
        """Stop and forget units, where they are there."""
        for name in sorted(names):
            if name in self.units:
                self.units.pop(name).stop()
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
        running = RunningUnit(unit, log, self._note_change, self._environment)
        self.units[unit.name] = running
        return running

    def _note_change(self) -> None:
        self._save()
        self._changed()

    def _save(self) -> None:
        """Record the processes that run, by id and start time: ids are reused."""
        # A full disk does not stop the stack.
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
    """End the processes of a runner that died; return how many there were."""
    state = data / "state.json"
    orphans = [
        psutil.Process(pid) for pid, born in _read_state(state) if _identify(pid) == (pid, born)
    ]
    for process in orphans:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(orphans, timeout=15)
    for process in orphans:
        kill_group(process.pid)
    state.unlink(missing_ok=True)
    return len(orphans)


def _read_state(state: Path) -> list[tuple[int, float]]:
    return [tuple(entry) for entry in json.loads(state.read_text())] if state.exists() else []


class ControlServer(socketserver.ThreadingUnixStreamServer):
    """Executes commands, one JSON object a line, from a socket in the data directory."""

    daemon_threads = True

    def __init__(self, runner: Runner, stop: Callable[[], None]) -> None:
        self.path = runner.plan.settings.data / SOCKET
        self.path.unlink(missing_ok=True)
        super().__init__(str(self.path), _ControlHandler)
        self.runner = runner
        self.stop_stack = stop

    def serve_in_background(self) -> None:
        """Begin to accept commands."""
        threading.Thread(target=self.serve_forever, name="control", daemon=True).start()

    def execute(self, command: dict[str, Any]) -> Any:
        """Execute a command and return its result."""
        runner = self.runner
        commands: Mapping[str, Callable[..., Any]] = {
            "describe": runner.describe,
            "scale": runner.scale,
            "reload": runner.reload,
            "kill": lambda unit, number: runner.units[unit].kill(number),
            "hold": lambda unit: runner.units[unit].hold(),
            "resume": lambda unit: runner.units[unit].resume(),
            "stop": self.stop_stack,
        }
        arguments = {name: value for name, value in command.items() if name != "do"}
        return commands[command["do"]](**arguments)


class _ControlHandler(socketserver.StreamRequestHandler):
    """Handles one connection: a command and its result."""

    server: ControlServer

    def handle(self) -> None:
        """Execute the command and send {"ok": ...} or {"error": "..."}."""
        try:
            answer = {"ok": self.server.execute(json.loads(self.rfile.readline()))}
        except FAILURES as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


def stop_on_signals(stopping: threading.Event) -> None:
    """Set an event on SIGINT, SIGTERM and when the terminal is closed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
