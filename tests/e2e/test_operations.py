"""The scripts for operators, on a running shop."""

import os
import re
import signal
import subprocess

import pytest

from scripts.paths import ROOT
from tests.faults.faults import down
from tests.support.commands import run_script
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.local]

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
EDGE_LINES = re.findall(r"^curl .*\$ADMIN.*$", RUNBOOK, re.MULTILINE)
"""The commands of the runbook that ask Envoy's admin pages."""


def test_the_story_of_an_order_goes_from_the_edge_to_the_consumers(stack, shop, customer):
    order_id = customer.buy((shop.add_product(), 1))

    def story() -> str:
        status, shown = run_script(stack, "logs", "--order", order_id)
        assert status == 0
        return shown if all(part in shown for part in ("notifications-1", "envoy")) else ""

    lines = eventually(story).splitlines()  # Envoy writes its log every half second
    assert [line[:23] for line in lines] == sorted(line[:23] for line in lines)
    created = next(line for line in lines if "CreateOrder" in line)
    assert re.search(r"  orders-\d  ", created)
    for part in ("VerifyStock", "ReserveStock", "ProcessPayment", "CommitStock", "event_processed"):
        assert any(part in line for line in lines), part


def test_the_story_of_a_request_is_found_by_the_id_that_its_answer_has(stack, customer):
    request_id = customer.get("/api/orders").headers["x-request-id"]

    def story() -> str:
        status, shown = run_script(stack, "logs", "--request", request_id)
        return shown if status == 0 and "GET /api/orders" in shown else ""

    assert "ListOrders" in eventually(story)


def test_an_unknown_order_has_no_story(stack, shop):
    status, shown = run_script(stack, "logs", "--order", "no-such-order")
    assert status == 1
    assert shown.count("\n") == 1


def test_the_doctor_finds_nothing_wrong_with_a_healthy_shop(stack, shop):
    def healthy() -> str:
        status, shown = run_script(stack, "doctor")
        return shown if status == 0 else ""

    shown = eventually(healthy, seconds=30)
    checks = ("memory", "disk", "Python", "store of orders", "Consul", "xDS", "keys", "bus", "mail")
    for check in checks:
        assert re.search(rf"^(good|warning) +{check}  ", shown, re.MULTILINE), check


def test_the_doctor_names_a_part_that_is_down_and_its_cure(stack, shop):
    with down(stack, "control_plane"):
        status, shown = run_script(stack, "doctor")
    assert status == 1
    assert re.search(r"^wrong +xDS +the control plane at .* does not serve", shown, re.MULTILINE)
    assert "cure: scripts/logs control_plane" in shown


def orders_placed(stack) -> int:
    """Return how many orders the logs have."""
    logs = (stack.data / "logs").glob("orders-*.log")
    return sum(log.read_text().count("OrdersService/CreateOrder") for log in logs)


def test_the_demo_places_orders_until_its_time_is_over(stack, shop):
    status, shown = run_script(stack, "demo", "--rate", "2", "--seconds", "5")
    assert status == 0
    counts = {name: int(count) for count, name in re.findall(r"^ *(\d+)  (\D+?) *$", shown, re.M)}
    assert counts["orders placed"] >= 5
    assert counts["confirmed"] >= 1
    assert "failed" not in counts


def test_the_demo_stops_at_ctrl_c_with_its_summary(stack, shop):
    command = [str(ROOT / "scripts" / "demo"), "--rate", "5", "--data", str(stack.data)]
    before = orders_placed(stack)
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as demo:
        eventually(lambda: orders_placed(stack) > before, seconds=30)
        demo.send_signal(signal.SIGINT)
        shown, _ = demo.communicate(timeout=30)
    assert demo.returncode == 0
    assert "orders placed" in shown


def test_the_runbook_has_commands_for_the_edge():
    assert len(EDGE_LINES) > 10


@pytest.mark.parametrize("line", EDGE_LINES)
def test_the_runbook_asks_the_edge_what_it_answers(stack, shop, line):
    shop.visitor.get("/api/products")
    environment = {"PATH": os.environ["PATH"], "ADMIN": stack.url("envoy_admin")}
    asked = subprocess.run(
        ["bash", "-c", line], env=environment, text=True, capture_output=True, check=True
    )
    assert asked.stdout.strip()
    assert "403" not in asked.stdout[:100]
