"""Every logger writes one JSON object a line."""

import json
import subprocess
import sys

import pytest

from scripts.paths import ROOT

# Logging is set up once per process, so this runs in one of its own.
PROGRAM = """
import logging, structlog
from services.common.context import CallContext, use
from services.common.logging import AnsweredCallLog, configure_logging
configure_logging(level="info", service="catalog", instance="catalog-1")
log = structlog.get_logger()
log.info("outside", answer=42)
log.debug("too_quiet")
with use(CallContext(request_id="r1", traceparent="00-0af7-b7ad-01")):
    log.info("inside", text="Böse\\n{zeile}", odd=object)
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("crashed")
        logging.getLogger("library").exception("lost %s", "it")
        logging.getLogger("pika.adapters").exception("an error that our code logs itself")
logging.getLogger("library").info("chatter")
logging.getLogger("pika.adapters").critical("a critical error")
with use(CallContext(request_id="r1", traceparent="00-0af7-b7ad-01")):
    log.info("call_answered", method="/Shop/Buy", outcome="OK", elapsed_ms=1.5)
    AnsweredCallLog("/Shop/Buy").write("OK", 0.0015)
AnsweredCallLog("/Shop/Buy").write("OK", 0.0015)
configure_logging(level="warning", service="catalog", instance="catalog-1")
AnsweredCallLog("/Shop/Buy").write("OK", 0.0015)
"""


@pytest.fixture(scope="module")
def all_lines():
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert ran.stderr == ""
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture(scope="module")
def lines(all_lines):
    """All but those of answered calls."""
    return [line for line in all_lines if line["event"] != "call_answered"]


@pytest.fixture(scope="module")
def answered(all_lines):
    return [line for line in all_lines if line["event"] == "call_answered"]


def test_every_event_is_one_line_of_json(lines):
    events = ["outside", "inside", "crashed", "library_log", "library_log"]
    assert [line["event"] for line in lines] == events


def test_every_line_has_service_instance_time_and_level(lines):
    for line in lines:
        assert (line["service"], line["instance"]) == ("catalog", "catalog-1")
        assert line["timestamp"].endswith("Z")
    assert [line["level"] for line in lines] == ["info", "info", "error", "error", "critical"]


def test_lines_of_a_call_have_its_ids_and_no_other_line(lines):
    assert [line.get("request_id") for line in lines] == [None, "r1", "r1", "r1", None]
    assert [line.get("trace_id") for line in lines] == [None, "0af7", "0af7", "0af7", None]


def test_text_is_kept_and_any_object_is_rendered(lines):
    assert lines[1]["text"] == "Böse\n{zeile}"
    assert "object" in lines[1]["odd"]


def test_an_exception_has_its_traceback(lines):
    for line in lines[2:4]:
        assert line["exception"].startswith("Traceback")
        assert "ZeroDivisionError" in line["exception"]


def test_libraries_log_the_same_way(lines):
    assert (lines[3]["logger"], lines[3]["message"]) == ("library", "lost it")


def test_the_rabbitmq_client_logs_critical_errors_only(lines):
    levels = [line["level"] for line in lines if line.get("logger", "").startswith("pika")]
    assert levels == ["critical"]


def test_the_line_of_an_answered_call_is_like_any_other(answered):
    by_structlog, of_a_call, outside = answered
    times = [line.pop("timestamp") for line in answered]
    assert of_a_call == by_structlog
    assert sorted(times) == times
    assert outside == {key: of_a_call[key] for key in of_a_call if not key.endswith("_id")}


def test_a_level_above_info_leaves_answered_calls_out(answered):
    assert len(answered) == 3
