"""A process that calls a server for some seconds: `python -m scripts.benchmarks.caller JSON`.

Callers are threads, each with one call in flight: one after the other, or at a steady rate. Then a
latency counts from when the call was due. The result is one JSON object on standard output: calls,
errors, seconds, own CPU milliseconds, latencies in milliseconds.
"""

import json
import random
import resource
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

Call = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to call and how hard.

    `kind` is grpc or rest. A gRPC `target` is host:port with `method` a full path; a REST one is a
    URL. `body` is hex for gRPC, JSON text (or empty: GET) for REST. With `keyed` each call has an
    Idempotency-Key of its own. With `trace_percent` each gRPC call has a trace context, that share
    of them a sampled one.
    """

    kind: str
    target: str
    method: str = ""
    body: str = ""
    token: str = ""
    keyed: bool = False
    trace_percent: float | None = None
    callers: int = 16
    seconds: float = 3.0
    per_second: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a load came to."""

    calls: int
    errors: int
    seconds: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float


def run(load: Load) -> Result:
    """Call until the time is over; return what it came to."""
    make = {"grpc": _grpc_caller, "rest": _rest_caller}[load.kind]
    stop_at = threading.Event()
    with ThreadPoolExecutor(load.callers) as pool:
        calls = [make(load) for _ in range(load.callers)]
        for call in calls:
            call()  # connected, before the clock starts
        before, began = _cpu_ms(), time.monotonic()
        pause = load.callers / load.per_second if load.per_second else 0.0
        futures = [
            pool.submit(_loop, call, stop_at, pause, began + pause * number / load.callers)
            for number, call in enumerate(calls)
        ]
        stop_at.wait(load.seconds)
        stop_at.set()
        loops = [future.result() for future in futures]
    seconds, cpu_ms = time.monotonic() - began, _cpu_ms() - before
    latencies = sorted(latency for found, _ in loops for latency in found)
    return Result(
        calls=len(latencies),
        errors=sum(errors for _, errors in loops),
        seconds=seconds,
        cpu_ms=cpu_ms,
        p50_ms=percentile(latencies, 0.50),
        p99_ms=percentile(latencies, 0.99),
    )


def percentile(ordered: list[float], share: float) -> float:
    """Return a percentile of sorted values; 0 when there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _loop(call: Call, stop: threading.Event, pause: float, due: float) -> tuple[list[float], int]:
    """Call until stopped, each `pause` seconds from `due` on; return latencies and errors."""
    latencies, errors = [], 0
    while not stop.wait(max(0.0, due - time.monotonic()) if pause else 0.0):
        began = due if pause else time.monotonic()
        due += pause
        try:
            call()
        except Exception:  # noqa: BLE001 - whatever it is, the call failed and is counted
            errors += 1
            continue
        latencies.append((time.monotonic() - began) * 1000)
    return latencies, errors


def _grpc_caller(load: Load) -> Call:
    import grpc  # noqa: PLC0415 - a REST caller does not pay for it

    channel = _shared_channel(grpc, load.target)
    method = channel.unary_unary(load.method)
    body = bytes.fromhex(load.body)
    if load.trace_percent is None:
        return lambda: method(body, timeout=10)
    percent = load.trace_percent
    return lambda: method(body, timeout=10, metadata=_trace_context(percent))


def _trace_context(percent: float) -> tuple[tuple[str, str], ...]:
    flag = "01" if random.random() * 100 < percent else "00"  # noqa: S311 - no secret
    ids = f"{random.getrandbits(128) | 1:032x}-{random.getrandbits(64) | 1:016x}"
    return (("traceparent", f"00-{ids}-{flag}"),)


_channels: dict[str, Any] = {}


def _shared_channel(grpc: Any, target: str) -> Any:
    """Return the one channel of this process to a target, as a service would have it."""
    if target not in _channels:
        _channels[target] = grpc.insecure_channel(target)
    return _channels[target]


def _rest_caller(load: Load) -> Call:
    import httpx  # noqa: PLC0415 - a gRPC caller does not pay for it

    client = httpx.Client(timeout=10, trust_env=False)
    headers = {"content-type": "application/json"}
    if load.token:
        headers["authorization"] = f"Bearer {load.token}"

    def call() -> None:
        if load.keyed:
            headers["idempotency-key"] = str(uuid.uuid4())
        if load.body:
            answer = client.post(load.target, content=load.body, headers=headers)
        else:
            answer = client.get(load.target, headers=headers)
        answer.raise_for_status()

    return call


def _cpu_ms() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1000


if __name__ == "__main__":
    print(json.dumps(asdict(run(Load(**json.loads(sys.argv[1]))))))
