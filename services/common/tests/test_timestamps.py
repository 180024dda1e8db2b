"""Moments become protobuf timestamps of the same instant."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.common.rpc.timestamps import to_timestamp

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
