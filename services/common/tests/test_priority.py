"""The priority of threads."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.common.messaging import queues
from services.common.messaging.consumer import Consumer
from services.common.priority import NICENESS, yield_to_calls

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities on Linux")


def niceness():
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_only_the_thread_that_yields_has_a_lower_priority():
    before = niceness()
    with ThreadPoolExecutor(1, initializer=yield_to_calls) as yielding:
        assert yielding.submit(niceness).result() == max(NICENESS, niceness())
    with ThreadPoolExecutor(1) as other:
        assert other.submit(niceness).result() == niceness() == before


def test_the_handler_of_a_consumer_yields():
    consumer = Consumer(queue=queues.NOTIFICATIONS, handler=print, url="amqp://127.0.0.1:1")
    assert consumer._worker.submit(niceness).result() == max(NICENESS, niceness())
    consumer._worker.shutdown()
