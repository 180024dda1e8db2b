"""The pool of MongoDB's driver is measured by what the driver says."""

from pymongo import monitoring

from services.orders.metrics.pool import PoolMeter
from tests.support.metrics import value

SERVER = ("127.0.0.1", 27017)


def test_connections_that_are_checked_out_are_in_use():
    meter = PoolMeter(32)
    for number in (1, 2, 3):
        meter.connection_checked_out(monitoring.ConnectionCheckedOutEvent(SERVER, number, 0.0))
    meter.connection_checked_in(monitoring.ConnectionCheckedInEvent(SERVER, 2))
    assert value("mamie_mongodb_pool_size") == 32
    assert value("mamie_mongodb_pool_in_use") == 2
