"""The command of scripts/verify: what it reads, what it prints, how it ends."""

import json
from datetime import timedelta
from io import StringIO

import neo4j.exceptions
import pika.exceptions
import psycopg2
import pymongo.errors
import pytest
import redis
from rich.console import Console

from scripts.tests.verified import FakeFacts, bought, product, with_records
from scripts.verification.__main__ import (
    MAX_SHOWN,
    explain,
    judge_twice,
    main,
    print_verdict,
)
from scripts.verification.invariants import Invariant
from scripts.verification.judge import Verdict
from scripts.verification.published import AnswersError, RecordedAnswers, order_of_key

MINUTE = timedelta(minutes=1)


def recorded(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return RecordedAnswers(path)


def line(key="k", **facts):
    answer = {"userId": "alice", "key": key, "body": "cart", "at": 1.0, "status": 201}
    return json.dumps(answer | facts)


def test_answers_are_read_in_the_order_of_the_orders_of_their_keys(tmp_path):
    answers = recorded(
        tmp_path / "answers", line("b"), line("a", orderId="one"), line("b", status=0, reason="r")
    )
    keys = sorted(order_of_key("alice", key) for key in "abb")
    assert [each.order_id for each in answers] == keys
    by_key = {(each.order_id, each.status): each for each in answers}
    assert by_key[order_of_key("alice", "a"), 201].placed_id == "one"
    assert by_key[order_of_key("alice", "b"), 0].reason == "r"
    answers.close()


@pytest.mark.parametrize("wrong", ["", "[]", "{}", line(at="soon"), line(status=None)])
def test_a_line_that_is_no_answer_is_named(tmp_path, wrong):
    with pytest.raises(AnswersError, match="line 2: not an answer"):
        recorded(tmp_path / "answers", line(), wrong)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(AnswersError, match="nowhere: No such file"):
        RecordedAnswers(tmp_path / "nowhere")


def printed(verdict):
    text = StringIO()
    status = print_verdict(Console(file=text, width=200), verdict)
    return status, text.getvalue()


def judged(**facts):
    return judge_twice(FakeFacts(**facts), within=MINUTE, pause_seconds=0)


def test_each_invariant_has_a_line_and_what_breaks_it():
    unpaid = with_records(bought(), payment=None)
    status, text = printed(judged(all_orders=[bought(), unpaid], all_products=[product(stock=1)]))
    assert status == 1
    assert f"2  {Invariant.MONEY}: 1 times broken\n     {unpaid.order_id}: ORDER_NOT_PAID" in text
    assert f"3  {Invariant.STOCK}: 1 times broken\n     kibble: 10 supplied" in text
    assert f"6  {Invariant.HISTORY}: holds\n" in text
    assert f"8  {Invariant.KEYS}: not judged (no --answers)\n" in text
    assert text.endswith("2 orders, 1 products\n")


def test_all_that_holds_ends_with_0():
    status, text = printed(judged(all_orders=[bought()]))
    assert (status, text.count("holds"), text.count("not judged")) == (0, 8, 1)


def test_many_violations_are_counted_and_some_shown():
    many = [product(product_id=f"p{number}", stock=1) for number in range(MAX_SHOWN + 5)]
    _, text = printed(judged(all_products=many))
    assert f"{MAX_SHOWN + 5} times broken" in text
    assert "and 5 more" in text
    assert text.count("supplied") == MAX_SHOWN + 1  # the name of the invariant has the word too


def test_a_file_of_answers_alone_is_not_enough(tmp_path, capsys):
    assert main(["--data", str(tmp_path), "--answers", "nowhere"]) == 1
    assert capsys.readouterr().out == f"no stack runs on {tmp_path}\n"


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (psycopg2.OperationalError("refused\nat 5432"), "PostgreSQL"),
        (pymongo.errors.ServerSelectionTimeoutError("refused " * 100), "MongoDB"),
        (redis.ConnectionError("refused"), "Redis"),
        (neo4j.exceptions.ServiceUnavailable("refused"), "the graph"),
        (pika.exceptions.AMQPConnectionError(), "RabbitMQ"),
        (ConnectionRefusedError("refused"), "a server"),
    ],
)
def test_a_store_that_does_not_answer_is_one_line(error, name):
    line = explain(error)
    assert line.startswith(f"{name} does not answer: ")
    assert line.endswith("; see scripts/doctor")
    assert len(line) < 200
    assert "\n" not in line


def test_an_empty_shop_holds():
    assert printed(Verdict())[0] == 0
