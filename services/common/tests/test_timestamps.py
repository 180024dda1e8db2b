"""Moments become protobuf timestamps of the same instant."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.rpc.timestamps import InvalidTimestampError, parse_timestamp, to_timestamp

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    "moment",
    [
        NOON,
        NOON.astimezone(timezone(timedelta(hours=2))),
        NOON.replace(tzinfo=None),
    ],
)
def test_a_moment_of_any_time_zone_becomes_the_same_instant(moment):
    timestamp = to_timestamp(moment)
    assert timestamp.ToDatetime(UTC) == NOON
    assert timestamp.nanos == 123_456_000


def test_a_timestamp_is_parsed_to_utc():
    assert parse_timestamp(to_timestamp(NOON), field="validFrom") == NOON


@pytest.mark.parametrize(
    "timestamp",
    [
        Timestamp(seconds=10**15),
        Timestamp(seconds=-(10**15)),
        Timestamp(seconds=2**63 - 1),
        Timestamp(nanos=2 * 10**9),
        Timestamp(nanos=-1),
    ],
)
def test_a_timestamp_out_of_range_is_rejected_by_its_name(timestamp):
    with pytest.raises(InvalidTimestampError) as caught:
        parse_timestamp(timestamp, field="validFrom")
    assert caught.value.metadata == {"field": "validFrom"}
