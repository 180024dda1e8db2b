"""The arguments of scripts/redrive, and its list of dead letters."""

import time
from datetime import UTC, datetime
from io import StringIO

import pika
import pytest
from rich.console import Console

from scripts.operations.redrive import CONSUMERS, main, print_list
from services.common.messaging import rabbitmq
from services.common.messaging.dead_letters import DeadLetter
from services.notifications import consumer as notifications
from services.recommendations import consumer as recommendations

QUEUE = rabbitmq.Queue("notifications", ())
DIED = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
DEATH = {"x-death": [{"reason": "delivery_limit", "time": DIED}, {"reason": "rejected"}]}
EVENT = {
    "id": "event-1",
    "type": "mamie_rosa.events.v1.UserCreated",
    "source": "/mamie-rosa/users",
    "subject": "[bold]user-1[/bold]",
    "traceparent": "",
    "time": DIED.isoformat(),
}


@pytest.fixture(autouse=True)
def in_paris(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def letter(body=b"12345", *, headers=None, **values) -> DeadLetter:
    return DeadLetter(1, pika.BasicProperties(headers=headers, **values), body)


def event(**headers) -> DeadLetter:
    return letter(
        headers={rabbitmq.PREFIX + name: value for name, value in EVENT.items()} | headers
    )


def shown(*letters):
    output = StringIO()
    print_list(Console(file=output, width=180), letters, QUEUE)
    return [" ".join(line.split()) for line in output.getvalue().splitlines()]


def test_an_event_is_listed_with_the_reason_and_time_of_its_last_death():
    _, line, count = shown(event(**DEATH))
    assert line == (
        "event-1 mamie_rosa.events.v1.UserCreated [bold]user-1[/bold]"
        " delivery_limit 2026-11-24 13:30:00 5"
    )
    assert count == "1 messages in mamie_rosa.notifications.dead"


def test_a_message_that_is_no_event_is_listed_as_unreadable():
    _, named, nameless, _ = shown(letter(message_id="message-1", headers=DEATH), letter(b""))
    assert named == "message-1 unreadable - delivery_limit 2026-11-24 13:30:00 5"
    assert nameless == "- unreadable - - - 0"


def test_an_empty_queue_is_listed_as_its_count():
    assert shown() == ["0 messages in mamie_rosa.notifications.dead"]


def test_every_consumer_can_be_named():
    queues = (notifications.QUEUE, recommendations.QUEUE)
    assert sorted(CONSUMERS) == sorted(queue.consumer for queue in queues)


@pytest.mark.parametrize(
    "wrong", [["catalog"], [], *(["notifications", "--limit", n] for n in ("0", "-1", "x"))]
)
def test_invalid_arguments_exit_with_two(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2
    assert "usage: scripts/redrive" in capsys.readouterr().err


def test_without_a_running_stack_the_error_is_one_line(tmp_path, capsys):
    assert main(["notifications", "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"no stack runs on {tmp_path}\n"
