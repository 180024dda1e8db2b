"""Integration events: every consumer's JSON and field names stay readable.

`golden/` has one event of each type of mamie_rosa.events.v1, as protojson with every field
set. A golden file is never changed, except that a new field is added; `buf breaking` guards
the field numbers. See docs/decisions/0011-event-evolution.md.
"""

import json
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from mamie_rosa.events.v1 import events_pb2

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.iterdir())


def events() -> dict[str, Descriptor]:
    """Return the events by name: all messages that are not part of another one."""
    messages = events_pb2.DESCRIPTOR.message_types_by_name
    parts = {
        field.message_type.name
        for message in messages.values()
        for field in message.fields
        if field.message_type and field.message_type.file is events_pb2.DESCRIPTOR
    }
    return {name: message for name, message in messages.items() if name not in parts}


def parse(file):
    event = getattr(events_pb2, file.stem)()
    return json_format.Parse(file.read_text(encoding="utf-8"), event)


def unset_fields(message):
    """Return the names of the fields that have no value, in nested messages too."""
    unset = {field.name for field in message.DESCRIPTOR.fields} - {
        field.name for field, _ in message.ListFields()
    }
    for field, value in message.ListFields():
        is_map = bool(field.message_type and field.message_type.GetOptions().map_entry)
        if field.message_type and field.message_type.file is events_pb2.DESCRIPTOR and not is_map:
            for nested in value if field.is_repeated else [value]:
                unset |= {f"{field.name}.{name}" for name in unset_fields(nested)}
    return unset


def test_every_event_has_a_golden_file():
    assert {file.stem for file in FILES} == set(events())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_golden_event_is_read_and_written_without_a_change(file):
    event = parse(file)
    received = type(event).FromString(event.SerializeToString())
    assert json_format.MessageToDict(received) == json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_golden_event_sets_every_field(file):
    assert unset_fields(parse(file)) == set()
