"""The wire format of Server-Sent Events."""

from services.common.rpc import sse


def test_an_event_has_an_id_a_name_and_data_in_one_line():
    block = sse.event(event_id=3, name="status", data={"a": "1\n2", "b": "é"})
    assert block.decode() == 'id: 3\nevent: status\ndata: {"a":"1\\n2","b":"é"}\n\n'


def test_a_comment_and_a_retry_are_separate_blocks():
    assert sse.comment("keep-alive") == b": keep-alive\n\n"
    assert sse.retry(1_000) == b"retry: 1000\n\n"
