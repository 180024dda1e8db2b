"""Measures the CPU time of processes, in milliseconds of user and system time.

Figures per call come from the difference of two readings. On a shared machine they vary far less
than calls per second do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Reading:
    """CPU milliseconds since their start, by the name of what was metered."""

    milliseconds: Mapping[str, float]

    def since(self, before: "Reading") -> dict[str, float]:
        """Return the milliseconds spent since an earlier reading."""
        return {
            name: spent - before.milliseconds[name] for name, spent in self.milliseconds.items()
        }


class CpuMeter:
    """Reads the CPU time of named groups of processes.

    A group is a list of pids; each counts with its living children and with those that have ended
    (PostgreSQL has a process for each connection).
    """

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self._groups = {
            name: [psutil.Process(pid) for pid in pids] for name, pids in groups.items()
        }

    def read(self) -> Reading:
        """Return what each group has spent until now."""
        return Reading(
            {name: sum(map(_tree_ms, processes)) for name, processes in self._groups.items()}
        )


def _tree_ms(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return sum(map(_own_ms, family))


def _own_ms(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # it ended between the two looks; its parent has its time
        return 0.0
    return (times.user + times.system + times.children_user + times.children_system) * 1000
