"""Moments as protobuf timestamps."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp


def to_timestamp(moment: datetime) -> Timestamp:
    """Convert a moment; without a time zone it is taken as UTC."""
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
