"""The stories of scripts/logs, from logs that a shop wrote (recorded/logs) and some more lines."""

import json
import shutil
from pathlib import Path

import pytest

from scripts.operations import story
from scripts.operations.logs import main
from scripts.operations.story import find_story

RECORDED = Path(__file__).with_name("recorded") / "logs"
ORDER = "56c40643-6f58-4a5e-b410-8895247364b9"
PLACED = "1e8092d5-1e80-4048-bfc1-dc335577fbec"
CANCELLED = "c5ffc069-b0e6-49c5-a8c5-d75501c57c2f"
ANOTHER_REQUEST = "4a4cb5ca-1052-416a-9387-6400de867c80"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def data(tmp_path):
    shutil.copytree(RECORDED, tmp_path / "logs")
    return tmp_path


@pytest.fixture
def add(data):
    """Return a function that appends a line to the log of a unit."""

    def append(unit, line="", **fields):
        with (data / "logs" / f"{unit}.log").open("a") as log:
            log.write((line or json.dumps(fields)) + "\n")

    return append


def run(capsys, data, *arguments):
    status = main(["--data", str(data), *arguments])
    return status, capsys.readouterr().out.splitlines()


def order_story(data):
    return find_story(data / "logs", ORDER, is_order=True).lines


def test_the_story_of_a_request_is_that_of_all_processes_in_order_of_time(data):
    lines = find_story(data / "logs", PLACED, is_order=False).lines
    assert [line.unit for line in lines] == [
        *("envoy", "catalog-3", "catalog-4", "orders-3", "orders-3"),
        *("payments-1", "payments-1", "orders-3", "catalog-5", "orders-3"),
    ]
    assert all(PLACED in line.text for line in lines)


def test_the_story_of_an_order_has_the_requests_that_appear_with_it(data):
    lines = order_story(data)
    assert list(lines) == sorted(lines, key=lambda line: line.time)
    assert any("CreateOrder" in line.text and line.unit == "envoy" for line in lines)
    assert any("VerifyStock" in line.text for line in lines)
    assert any("RefundPayment" in line.text and CANCELLED in line.text for line in lines)
    assert not any(ANOTHER_REQUEST in line.text for line in lines)


def test_the_story_of_an_order_has_what_consumers_did_with_its_events(data, add):
    at = {"timestamp": "2026-11-27T19:09:01.000000Z"}
    add("notifications-1", event="event_processed", subject=ORDER, request_id="event-1", **at)
    add("notifications-1", event="handler_waiting", request_id="event-1", **at)
    assert [line.unit for line in order_story(data)[-2:]] == ["notifications-1"] * 2


def test_a_trace_of_the_order_belongs_to_its_story(data, add):
    at = "2026-11-27T19:09:01.000000Z"
    add("orders-1", event="saga_step_completed", order_id=ORDER, trace_id=TRACE, timestamp=at)
    add("envoy", path="/api/orders", rpc="", traceparent=f"00-{TRACE}-b7ad6b7169203331-01", time=at)
    assert order_story(data)[-2].unit == "envoy"


def test_other_orders_of_a_shared_request_are_left_out(data, add):
    at = {"timestamp": "2026-11-27T19:10:00.000000Z", "request_id": "round-1"}
    add("orders-1", event="discrepancy_found", order_id=ORDER, **at)
    add("orders-1", event="discrepancy_found", order_id="another", **at)
    add("payments-1", event="call_answered", method="ListPayments", **at)
    lines = order_story(data)
    assert "ListPayments" in lines[-1].text
    assert not any("another" in line.text for line in lines)


def test_an_id_is_found_whole_only(data):
    assert not find_story(data / "logs", ORDER[:-1], is_order=True).lines


def test_a_line_without_a_time_has_that_of_the_line_before(data, add):
    add("postgres", "2026-11-27 19:09:00.200 UTC [1] ERROR:  something")
    add("postgres", f"\tSTATEMENT:  with {ORDER}")
    lines = order_story(data)
    position = next(n for n, line in enumerate(lines) if line.unit == "postgres")
    assert "ReserveStock" in lines[position - 1].text


def test_a_long_story_is_cut_after_its_oldest_lines(data):
    whole = find_story(data / "logs", ORDER, is_order=True)
    cut = find_story(data / "logs", ORDER, is_order=True, max_lines=3)
    assert (list(cut.lines), cut.left_out) == (list(whole.lines[:3]), len(whole.lines) - 3)


def test_related_requests_are_limited(data, monkeypatch):
    monkeypatch.setattr(story, "MAX_RELATED", 1)
    lines = order_story(data)
    requests = {
        request for request in (PLACED, CANCELLED) for line in lines if request in line.text
    }
    assert requests == {PLACED, CANCELLED}  # both have lines that name the order itself
    assert sum("call_answered" in line.text for line in lines) < 9


def test_a_line_of_any_length_is_read_in_parts(data, add, monkeypatch):
    monkeypatch.setattr(story, "MAX_LINE_BYTES", 1000)
    add("orders-1", f"2026-11-27 19:09:02 {ORDER} {'x' * 5000}")
    assert len(order_story(data)[-1].text) <= 1000


@pytest.mark.parametrize(
    ("option", "wanted", "first"),
    [("--order", ORDER, "POST /api/orders"), ("--request", CANCELLED, f"POST /api/orders/{ORDER}")],
)
def test_a_story_is_printed_one_line_a_line(capsys, data, option, wanted, first):
    status, shown = run(capsys, data, option, wanted)
    assert status == 0
    assert shown[0].startswith("2026-11-27 19:09:00.")
    assert f"{first}" in shown[0]
    assert "status=201" in shown[0] or "status=200" in shown[0]
    assert any("saga_step_completed" in line and "step=" in line for line in shown)


def test_the_story_of_a_trace_has_the_lines_with_its_id(capsys, data, add):
    at = "2026-11-27T19:09:01.000000Z"
    add("orders-1", event="saga_step_completed", trace_id=TRACE, timestamp=at)
    add("envoy", path="/api/orders", rpc="", trace_id=TRACE, time=at)
    status, shown = run(capsys, data, "--trace", TRACE)
    assert (status, len(shown)) == (0, 2)


@pytest.mark.parametrize("option", ["--order", "--request", "--trace"])
def test_an_unknown_id_is_one_clear_line_and_exit_status_1(capsys, data, option):
    status, shown = run(capsys, data, option, "no-such\x1b[2J")
    assert status == 1
    assert len(shown) == 1
    assert r"no-such\x1b[2J" in shown[0]


def test_what_a_caller_wrote_cannot_move_the_cursor(capsys, data, add):
    add("orders-1", event="a\x1b[2Jb", order_id=ORDER, timestamp="2026-11-27T19:09:09Z")
    _, shown = run(capsys, data, "--order", ORDER)
    assert r"a\x1b[2Jb" in shown[-1]


@pytest.mark.parametrize("arguments", [["--order", " "], ["orders", "--order", ORDER]])
def test_a_wrong_use_is_rejected(data, arguments):
    with pytest.raises(SystemExit) as raised:
        main(["--data", str(data), *arguments])
    assert raised.value.code == 2


def test_logs_of_a_service_are_its_last_lines(capfd, data):
    status = main(["--data", str(data), "payments"])
    assert status == 0
    assert "RefundPayment" in capfd.readouterr().out


def test_a_service_without_logs_is_named(capsys, data):
    assert run(capsys, data, "horses") == (
        1,
        [f"There are no logs of horses in {data / 'logs'}."],
    )
