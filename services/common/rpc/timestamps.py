"""Moments as protobuf timestamps."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.common.errors import InvalidArgumentError


class InvalidTimestampError(InvalidArgumentError):
    """A timestamp is no moment of the years 1 to 9999; `field` is its name in JSON."""

    reason = "INVALID_TIMESTAMP"

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} must be a moment of the years 1 to 9999.", field=field)


def to_timestamp(moment: datetime) -> Timestamp:
    """Convert a moment; without a time zone it is taken as UTC."""
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def parse_timestamp(timestamp: Timestamp, *, field: str) -> datetime:
    """Convert a timestamp of a request to UTC; InvalidTimestampError when it is out of range."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except ValueError as error:
        raise InvalidTimestampError(field) from error
