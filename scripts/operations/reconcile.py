"""The command of scripts/reconcile: exits with 1 when a discrepancy is not repaired."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import requests
from mamie_rosa.orders.internal.v1 import orders_pb2, orders_pb2_grpc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.stack.client import NoStackError, Stack
from scripts.stack.settings import DEFAULT_DATA

PAGE_TIMEOUT_SECONDS = 60
PIPED_WIDTH = 180


def main() -> int:
    """Compare all orders of a running stack and return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/reconcile", description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="data directory")
    stack = Stack(parser.parse_args().data)
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    try:
        with grpc.insecure_channel(orders_target(stack.url("consul"))) as channel:
            return reconcile(channel, console)
    except NoStackError as error:
        failure = str(error)
    except requests.RequestException:
        failure = "Consul does not answer; see scripts/status"
    except grpc.RpcError as error:
        failure = error.details() or repr(error)
    console.print(Text(failure, "red"), soft_wrap=True)
    return 1


def orders_target(consul_url: str) -> str:
    """Return the healthy instances of orders as one gRPC target."""
    healthy = f"{consul_url}/v1/health/service/orders?passing=true"
    answer = requests.get(healthy, timeout=5)
    answer.raise_for_status()
    found = [instance["Service"] for instance in answer.json()]
    if not found:
        raise NoStackError("no instance of orders is healthy; see scripts/status")
    return "ipv4:" + ",".join(f"{each['Address']}:{each['Port']}" for each in found)


def reconcile(channel: grpc.Channel, console: Console) -> int:
    """Compare all orders, print the discrepancies and return the exit status."""
    pages = list(_pages(channel))
    found = [each for page in pages for each in page.discrepancies]
    if found:
        console.print(_table(found), highlight=False)
    repaired = sum(each.is_repaired for each in found)
    console.print(
        f"{sum(page.checked_count for page in pages)} orders compared: {len(found)} "
        f"discrepancies, {repaired} repaired, {len(found) - repaired} left",
        highlight=False,
    )
    return int(repaired < len(found))


def _pages(channel: grpc.Channel) -> Iterator[orders_pb2.ReconcileResponse]:
    stub = orders_pb2_grpc.ReconciliationServiceStub(channel)
    token = ""
    while True:
        request = orders_pb2.ReconcileRequest(page_token=token)
        page = stub.Reconcile(request, timeout=PAGE_TIMEOUT_SECONDS)
        yield page
        if not (token := page.next_page_token):
            return


def _table(found: list[orders_pb2.Discrepancy]) -> Table:
    table = Table(box=None, padding=(0, 2))
    for title in ("kind", "order", "outcome", "facts"):
        table.add_column(title, overflow="fold")
    for each in found:
        facts = ", ".join(f"{name} {value}" for name, value in sorted(each.facts.items()))
        table.add_row(each.kind, each.order_id or "-", _outcome(each), facts)
    return table


def _outcome(found: orders_pb2.Discrepancy) -> str:
    if found.is_repaired:
        return f"[green]repaired[/green] ({found.repair})"
    return f"[red]left[/red] ({found.failure})" if found.failure else "[red]left[/red]"


if __name__ == "__main__":
    sys.exit(main())
