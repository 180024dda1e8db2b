"""A stream has the caller that its token proves, and ends with it."""

import asyncio
import time

import grpc

from services.common import context
from services.common.rpc.streaming import with_interceptors
from services.common.rpc.testing import ALICE, ALICE_ID, TOKENS, bearer, sign_token
from services.common.rpc.tokens import LEEWAY_SECONDS
from services.common.tests.streams import METHOD, WATCH, StreamCall, part


async def send_remaining_seconds(_request, _context):
    yield part(str(context.current().remaining_seconds()))


def run_stream(metadata, **how):
    """Run a stream that sends its remaining seconds; return its outcome and its parts."""

    async def call():
        handler = with_interceptors(send_remaining_seconds, METHOD, TOKENS)
        begun = StreamCall(metadata, **how).begin(handler, WATCH)
        return await begun.answer(), await begun.parts()

    return asyncio.run(call())


def test_the_deadline_of_a_stream_is_the_end_of_its_token_at_the_latest():
    ending = bearer(sign_token(ALICE_ID, exp=int(time.time()) + 60))
    for deadline in (None, 3600):
        _, [remaining] = run_stream(ending, remaining_seconds=deadline)
        assert 50 < float(remaining.data) <= 60 + LEEWAY_SECONDS


def test_a_stream_ends_at_its_own_deadline_before_its_token_does():
    _, [remaining] = run_stream(ALICE, remaining_seconds=30)
    assert 20 < float(remaining.data) <= 30


def test_a_stream_without_a_token_does_not_begin():
    answer, parts = run_stream({"x-user-id": ALICE_ID, "x-user-role": "admin"})
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAUTHENTICATED, "NOT_SIGNED_IN")
    assert parts == []
