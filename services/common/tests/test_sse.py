"""Server-Sent Events on the wire."""

from services.common.rpc import sse


def test_an_event_has_its_id_its_name_and_its_data_in_one_line():
    told = sse.event(event_id=3, name="status", data={"a": "1\n2", "b": "é"})
    assert told.decode() == 'id: 3\nevent: status\ndata: {"a":"1\\n2","b":"é"}\n\n'


def test_a_comment_and_a_pause_are_blocks_of_their_own():
    assert sse.comment("keep-alive") == b": keep-alive\n\n"
    assert sse.retry(1_000) == b"retry: 1000\n\n"
