"""Threads on which customers take turns: many orders of one do not delay the order of another."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Task = Callable[[], object]


class FairExecutor:
    """Runs tasks on `threads` threads.

    Each task is in a lane. The lanes take turns, and the tasks of a lane are run in their order.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, name)
        self._lock = threading.Lock()
        self._lanes: OrderedDict[str, deque[Task]] = OrderedDict()
        """The lanes with tasks that wait; the first one is next."""

    def submit(self, lane: str, task: Task) -> None:
        """Run a task when it is its turn; RuntimeError after a shutdown."""
        with self._lock:
            # First, because it raises after a shutdown; it takes the lock when it runs.
            self._executor.submit(self._run_next)
            self._lanes.setdefault(lane, deque()).append(task)

    def shutdown(self) -> None:
        """Drop the tasks that wait, and return when those that run have ended."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _run_next(self) -> None:
        self._take_next()()

    def _take_next(self) -> Task:
        with self._lock:
            lane, waiting = self._lanes.popitem(last=False)
            task = waiting.popleft()
            if waiting:
                self._lanes[lane] = waiting  # as the last one
        return task
