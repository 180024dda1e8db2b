"""Ports: assigned by name, the same after a restart, never one in use."""

import os
import socket

import pytest

from scripts.stack.ports import Ports, PortTakenError, free_port, is_free


@pytest.fixture
def taken():
    """Yield a port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "ports.json"


def test_a_port_with_a_listener_is_not_free(taken):
    assert not is_free(taken)


def test_no_two_names_get_the_same_port(tmp_path, monkeypatch):
    found = iter([20_001, 20_001, 20_002, 20_001, 20_003])
    monkeypatch.setattr("scripts.stack.ports.free_port", lambda: next(found))
    ports = Ports(tmp_path / "ports.json")
    assert [ports.take(name) for name in "abc"] == [20_001, 20_002, 20_003]


def test_a_free_port_can_be_bound():
    with socket.create_server(("127.0.0.1", free_port())):
        pass


def test_a_free_port_is_below_those_of_outgoing_connections():
    assert all(20_000 <= free_port() < 32_000 for _ in range(20))


def test_a_taken_port_names_its_owner(file, taken):
    with pytest.raises(PortTakenError) as caught:
        Ports(file).take("http", taken)
    assert f"port {taken} is taken by process {os.getpid()} (" in str(caught.value)


def test_a_fixed_port_that_is_free_is_assigned(file):
    port = free_port()
    assert Ports(file).take("http", port) == port


def test_a_name_keeps_its_port_after_a_restart(file):
    first = Ports(file).take("postgres")
    assert Ports(file).take("postgres") == first


def test_names_have_different_ports(file):
    ports = Ports(file)
    assert len({ports.take(name) for name in ("a", "b", "c")}) == 3


def test_a_stored_port_that_is_in_use_is_replaced(file, taken):
    file.write_text(f'{{"postgres": {taken}}}')
    assert Ports(file).take("postgres") != taken


def test_a_connection_in_time_wait_does_not_occupy_the_port(file):
    port = Ports(file).take("http")
    with (
        socket.create_server(("127.0.0.1", port)) as server,
        socket.create_connection(("127.0.0.1", port)),
    ):
        accepted, _ = server.accept()
        accepted.close()  # this end closes first: it is the one that lingers
    assert Ports(file).take("http") == port
