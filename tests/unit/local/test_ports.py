"""Ports: who needs which, and what a taken one is called."""

import os
import socket

import pytest

from deploy.local import ports
from deploy.local.ports import BASE, HOST, Busy, Ports, PortsInUse


def test_the_offset_moves_every_port() -> None:
    """Addresses and URLs follow it."""
    moved = Ports(300)
    assert {name: moved[name] - base for name, base in BASE.items()} == dict.fromkeys(BASE, 300)
    assert moved.address("kafka") == "127.0.0.1:21392"
    assert moved.url("api") == "http://127.0.0.1:21390"


def test_no_two_processes_share_a_port() -> None:
    """The table is without doubles, and each server's ports are in it."""
    assert len(set(BASE.values())) == len(BASE)
    assert {name for names in ports.SERVER_PORTS.values() for name in names} <= BASE.keys()


def test_a_taken_port_is_reported_by_service_port_and_owner() -> None:
    """The owner is this process, which listens there."""
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]
        taken = Ports(port - BASE["kafka"])
        (one,) = ports.busy(["kafka"], taken)
        assert (one.name, one.port) == ("kafka", port)
        assert f"(pid {os.getpid()})" in str(one)
    assert not ports.busy(["kafka"], taken)


def test_the_refusal_names_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It offers an offset that is free now."""
    monkeypatch.setattr(ports, "free_offset", lambda: 770)
    message = str(PortsInUse([Busy("postgres", 21432, None)]))
    assert "postgres needs port 21432, which another process uses" in message
    assert "--port-offset 770" in message
