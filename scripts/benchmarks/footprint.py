"""What processes hold: memory, descriptors, threads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil

from scripts.benchmarks.report import service_of


@dataclass(frozen=True)
class Footprint:
    """Memory in MiB (proportional where known), descriptors and threads of a group of processes."""

    memory: float
    descriptors: int
    threads: int


def footprints(pids: Mapping[str, Sequence[int]]) -> dict[str, Footprint]:
    """Return what each service holds, its instances and their children together."""
    found: dict[str, Footprint] = {}
    for name, roots in pids.items():
        parts = [_footprint(process) for pid in roots for process in _family(pid)]
        if earlier := found.get(service_of(name)):
            parts.append(earlier)
        found[service_of(name)] = Footprint(
            sum(each.memory for each in parts),
            sum(each.descriptors for each in parts),
            sum(each.threads for each in parts),
        )
    return found


def _family(pid: int) -> Iterator[psutil.Process]:
    try:
        process = psutil.Process(pid)
        yield from (process, *process.children(recursive=True))
    except psutil.NoSuchProcess:
        return


def _footprint(process: psutil.Process) -> Footprint:
    try:
        memory = process.memory_full_info().pss / 2**20
        return Footprint(memory, process.num_fds(), process.num_threads())
    except psutil.NoSuchProcess:
        return Footprint(0.0, 0, 0)
