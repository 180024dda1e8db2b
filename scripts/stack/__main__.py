"""The commands behind scripts/up, down, status, scale, topology and reload."""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import psutil
from rich.console import Console
from rich.live import Live

from scripts.manifests import ManifestError, read_control_plane, read_services
from scripts.paths import ROOT
from scripts.stack import status_watch, view
from scripts.stack.client import CommandFailedError, NoStackError, Stack
from scripts.stack.consul_package import ConsulMissingError
from scripts.stack.figures import read_samples
from scripts.stack.folder import DataFolderError, is_taken, take_folder
from scripts.stack.neo4j import Neo4jMissingError
from scripts.stack.plan import PYTHONPATH, Plan, log_folder, make_plan
from scripts.stack.ports import PortTakenError
from scripts.stack.prometheus_package import PrometheusMissingError
from scripts.stack.runner import ControlServer, Runner, clean_up, stop_on_signals
from scripts.stack.settings import DEFAULT_DATA, read_settings
from scripts.stack.units import UnitFailedError

EXPECTED_ERRORS = (
    *(PortTakenError, UnitFailedError, NoStackError, CommandFailedError),
    *(ConsulMissingError, Neo4jMissingError, PrometheusMissingError),
    *(ManifestError, DataFolderError),
)
"""Errors that end a command with their message alone."""

console = Console()


def main() -> int:
    """Run the command of the command line and return the exit status."""
    options = _parser().parse_args()
    try:
        return options.run(options)
    except EXPECTED_ERRORS as error:
        console.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, run, about in (
        ("up", up, "start the whole shop"),
        ("down", down, "stop it"),
        ("status", status, "the processes, their ports and their memory"),
        ("scale", scale, "run another number of instances: catalog=6"),
        ("topology", topology, "what each service needs and offers"),
        ("reload", reload, "adopt services that were added or removed, and changed protos"),
    ):
        command = commands.add_parser(name, help=about)
        command.set_defaults(run=run)
        command.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data directory")
        if name == "up":
            command.add_argument("--detach", action="store_true", help="return when it is healthy")
            command.add_argument("--scale", action="append", default=[], metavar="SERVICE=N")
            command.add_argument("--lock", type=int, help=argparse.SUPPRESS)
        if name == "status":
            shown = command.add_mutually_exclusive_group()
            shown.add_argument("--json", action="store_true")
            shown.add_argument("--watch", action="store_true", help="go on until Ctrl-C")
        if name == "scale":
            command.add_argument("wanted", nargs="+", metavar="SERVICE=N")
    return parser


def up(options: argparse.Namespace) -> int:
    """Start a stack, in this terminal or detached from it."""
    settings = read_settings(options.data)
    wanted = _counts(options.scale)
    inherited = options.lock is not None
    with os.fdopen(options.lock, "a") if inherited else take_folder(settings.data) as lock:
        if not inherited and (count := clean_up(settings.data)):
            console.print(f"Ended {count} processes of an earlier run.")
        os.chdir(ROOT)
        if options.detach:
            return _detach(settings.data, options.scale, lock)
        return _run(make_plan(settings, wanted), is_detached=inherited)


def _run(plan: Plan, *, is_detached: bool) -> int:
    """Run a stack until it is stopped; show its start.

    The output of a detached one is a file: the URLs, with the administrator's password, are shown
    by the command that started it.
    """
    stopping, began = threading.Event(), time.monotonic()
    stop_on_signals(stopping)
    runner = Runner(plan)
    control = ControlServer(runner, stopping.set)
    control.serve_in_background()
    failed = False
    try:
        with Live(view.StartView(runner, began), console=console, refresh_per_second=4):
            starting = threading.Thread(target=_start, args=(runner, stopping), daemon=True)
            starting.start()
            while starting.is_alive() and not stopping.is_set():
                starting.join(0.1)
        failed = bool(runner.failure)
        if not failed and not stopping.is_set():
            if not is_detached:
                view.print_urls(console, runner.describe(), time.monotonic() - began)
            stopping.wait()
    finally:
        if failed:
            console.print(f"[red]{runner.failure}[/red]", highlight=False)
        console.print("Stopping.")
        runner.stop()
        control.path.unlink(missing_ok=True)
        (plan.settings.data / "state.json").unlink(missing_ok=True)
    return int(failed)


def _start(runner: Runner, stopping: threading.Event) -> None:
    try:
        runner.start()
    except UnitFailedError as error:
        if not stopping.is_set():
            runner.failure = str(error)


def _detach(data: Path, scale: Sequence[str], lock: IO[str]) -> int:
    """Start a runner in the background and wait until it is healthy, or has ended.

    It inherits the lock of the folder.
    """
    command = [sys.executable, "-m", "scripts.stack", "up", f"--lock={lock.fileno()}"]
    command += [f"--data={data}", *(f"--scale={wanted}" for wanted in scale)]
    log_folder(data).mkdir(parents=True, exist_ok=True)
    output = log_folder(data) / "runner.log"
    began = time.monotonic()
    with output.open("wb") as file:
        runner = subprocess.Popen(
            command,
            env=os.environ | {"PYTHONPATH": PYTHONPATH, "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
    stack = Stack(data)
    with console.status("starting") as shown:
        while runner.poll() is None:
            state = _describe(stack)
            if state and state["healthy"]:
                view.print_urls(console, state, time.monotonic() - began)
                return 0
            shown.update(view.summary(state))
            time.sleep(0.25)
    console.print(output.read_text(errors="replace")[-4000:], highlight=False, markup=False)
    return 1


def _describe(stack: Stack) -> dict | None:
    try:
        return stack.describe()
    except NoStackError:
        return None


def down(options: argparse.Namespace) -> int:
    """Stop a stack; return when all of its processes have ended."""
    stack = Stack(options.data)
    state = _describe(stack)
    if state is None and is_taken(stack.data):
        console.print(f"A stack starts or stops on {stack.data}; try again in a moment.")
        return 1
    if state is None:
        count = clean_up(options.data.resolve())
        console.print(f"Ended {count} processes of an earlier run." if count else "Nothing runs.")
        return 0
    stack.stop()
    with console.status("stopping"):
        psutil.wait_procs([psutil.Process(state["pid"])], timeout=90)
    console.print("Stopped.")
    return 0


def status(options: argparse.Namespace) -> int:
    """Show the processes, what they do, and what does not pass in Consul."""
    stack = Stack(options.data)
    if options.watch:
        status_watch.watch(stack, console)
        return 0
    before = read_samples(stack.url("consul"))
    time.sleep(status_watch.SAMPLE_SECONDS)
    state = status_watch.read_status(stack, before)
    if options.json:
        print(json.dumps(state, indent=2))
    else:
        view.print_status(console, state)
    return 0


def scale(options: argparse.Namespace) -> int:
    """Run another number of instances."""
    for service, instances in _counts(options.wanted).items():
        Stack(options.data).scale(service, instances)
        console.print(f"{service}: {instances}")
    return 0


def topology(_options: argparse.Namespace) -> int:
    """Show what each service needs and offers; the shop need not run."""
    view.print_topology([*read_services(), read_control_plane()])
    return 0


def reload(options: argparse.Namespace) -> int:
    """Adopt the manifests and protos as they are now."""
    for what, names in Stack(options.data).reload().items():
        for name in names:
            console.print(f"{name}: {what}", highlight=False)
    console.print("The edge uses the protos as they are now.")
    return 0


def _counts(wanted: list[str]) -> dict[str, int]:
    """Return the instance counts that "catalog=6,users=1" asks for; a bad one ends the process."""
    names = [service.name for service in read_services()]
    counts = {}
    for pair in (pair for text in wanted for pair in text.split(",")):
        name, _, number = pair.partition("=")
        if name not in names or not number.isdigit() or not 1 <= int(number) <= 50:
            choices = ", ".join(names)
            console.print(
                f"[red]--scale {pair}: say SERVICE=N, with N from 1 to 50, of: {choices}[/red]"
            )
            raise SystemExit(2)
        counts[name] = int(number)
    return counts


if __name__ == "__main__":
    raise SystemExit(main())
