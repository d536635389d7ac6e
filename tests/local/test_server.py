"""The embedded server that the demo and the tests stand on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from local.server import EmbeddedServer, ServerError
from tests.fixtures.database import ROOT


def test_superuser_connects_over_socket_and_tcp(server: EmbeddedServer) -> None:
    for where in (server.conninfo(), server.uri()):
        with psycopg.connect(where) as session:
            assert session.execute("select current_user").fetchone() == ("postgres",)


def test_tcp_needs_the_password(server: EmbeddedServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.uri().replace(server.password, "wrong"))


def test_psql_stops_at_the_first_error(server: EmbeddedServer) -> None:
    result = server.psql("postgres", input="select 1 / 0; select 'not reached';")
    assert result.returncode == 3
    assert "division by zero" in result.stderr
    assert "not reached" not in result.stdout


def test_crash_recovers_on_the_same_port(own_server: EmbeddedServer) -> None:
    port = own_server.port
    with psycopg.connect(own_server.conninfo(), autocommit=True) as session:
        session.execute("create table kept as select 1 as one")
        own_server.restart("immediate")
    assert own_server.port == port
    with psycopg.connect(own_server.conninfo()) as session:
        assert session.execute("select one from kept").fetchone() == (1,)


def test_temporary_folder_is_removed() -> None:
    with EmbeddedServer(durable=False, in_memory=True) as server:
        assert server.running()
        folder, data = server.folder, server.data.resolve()
    assert not folder.exists()
    assert not data.exists()


def test_what_a_killed_process_has_left_in_memory_goes() -> None:
    """Its server as well."""
    program = (
        "import os, signal; from local.server import EmbeddedServer; server = EmbeddedServer(in_memory=True).start(); "
        "print(server.folder, server.data.resolve(), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    folder, data = map(Path, killed.stdout.split())
    assert data.exists(), killed.stderr
    if data.is_relative_to(folder):
        EmbeddedServer(folder=folder).remove()
        pytest.skip("there is not enough memory")
    with EmbeddedServer(in_memory=True):
        assert not data.exists()
    shutil.rmtree(folder)


def test_kept_folder_is_found_again(own_server: EmbeddedServer) -> None:
    again = EmbeddedServer(folder=own_server.folder)
    again.start()
    assert again.port == own_server.port
    assert again.uri() == own_server.uri()


def test_taken_port_is_named(server: EmbeddedServer) -> None:
    with pytest.raises(ServerError, match=f"Port {server.port} is taken"), EmbeddedServer(port=server.port):
        pass


def test_unknown_version_names_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PG_BIN", raising=False)
    with pytest.raises(ServerError, match="16 or 18"):
        EmbeddedServer("15")


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(ServerError, match="initdb, pg_ctl, postgres, psql"):
        EmbeddedServer()
