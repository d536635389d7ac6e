"""What the demo's world says when it cannot be made, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo import world
from demo.world import Source, World, WorldError, clear_away, interruptible, own_folder, temporary_folder, uninterrupted
from local.server import EmbeddedServer
from tests.fixtures.database import ROOT


def parse(*arguments: str) -> Source:
    parser = world.Arguments()
    Source.add_arguments(parser)
    return Source.of(parser.parse_args(arguments))


def test_arguments_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWS", "1_000")
    monkeypatch.setenv("CSV", "killmails.csv")
    monkeypatch.setenv("AS_OF", "2021-11-29T00:00:00Z")
    assert parse() == Source(as_of=datetime(2021, 11, 29, tzinfo=UTC), rows=1000, csv=Path("killmails.csv"))
    assert parse("--rows", "5", "--as-of", "2021-11-28").rows == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rows", "0"], "ROWS must be a whole number from 1 to 100,000,000, not 0"),
        (["--rows", "many"], "ROWS must be a whole number from 1 to 100,000,000, not many"),
        (["--rows", "1" + "0" * 30], "ROWS must be a whole number from 1 to 100,000,000, not 1" + "0" * 30),
        (["--as-of", "yesterday"], "AS_OF must be a time such as 2021-11-29T00:00:00Z, not yesterday"),
        (["--as-of", "2999-01-01"], "AS_OF must have passed, but 2999-01-01 is in the future"),
        (["--as-of", "0001-01-01"], "AS_OF must not be before 2005-01-01, as 0001-01-01 is"),
        (
            ["--as-of", "9999-12-31T23:59:59-14:00"],
            "AS_OF must be a time such as 2021-11-29T00:00:00Z, not 9999-12-31T23:59:59-14:00",
        ),
        (["--rose", "1"], "unrecognized arguments: --rose 1"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        parse(*arguments)
    assert exit.value.code == 2
    assert capsys.readouterr().err == f"{said}\n"


@pytest.mark.parametrize("port", ["0", "70000", "-1", "x"])
def test_a_port_that_cannot_be_is_refused_in_one_line(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        world.main(["up", f"--port={port}"])
    assert capsys.readouterr().err == f"PORT must be a whole number from 1 to 65535, not {port}\n"


@pytest.mark.parametrize("program", ["demo.run", "demo.world up"])
def test_a_file_that_is_no_csv_starts_nothing(program: str, tmp_path: Path) -> None:
    csv, folder = tmp_path / "killmails.csv", tmp_path / "tmp"
    csv.write_bytes(b"\x7fELF\0\0\0")
    folder.mkdir()
    result = subprocess.run(
        [sys.executable, "-m", *program.split(), f"--csv={csv}"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"{csv} is not a text file. Nothing was loaded.\n"
    assert list(folder.iterdir()) == []


def test_a_taken_port_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = subprocess.run(
            [sys.executable, "-m", "demo.world", "up", f"--port={port}", "--rows=1"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 2
    assert f"Port {port} is taken: choose another with make up PORT={port + 1}" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_down_without_a_world_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(world, "_bases", lambda: [tmp_path])
    assert world.down() == "Nothing runs."


def test_two_commands_at_once_are_refused() -> None:
    with world._one_at_a_time(), pytest.raises(WorldError, match="Another make up or make down"):
        world.down()


def test_a_folder_that_is_not_ours_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(world, "_bases", lambda: [tmp_path])
    assert own_folder() is None
    world._own(tmp_path).symlink_to(tmp_path)
    with pytest.raises(WorldError, match="is not ours"):
        own_folder()


def fail() -> None:
    raise WorldError("because")


def test_a_world_that_fails_leaves_nothing() -> None:
    with temporary_folder() as folder:
        begun = World(folder)
        begun.server.start()
        with pytest.raises(WorldError, match="because"), begun:
            fail()
        assert not folder.exists()


def test_an_interrupted_demo_leaves_nothing() -> None:
    with temporary_folder() as folder:
        before = list(folder.iterdir())
        with subprocess.Popen(
            [sys.executable, "-m", "demo.run", "--rows=1000"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as demo:
            assert demo.stdout
            assert "PostgreSQL runs on port" in demo.stdout.readline()
            assert list(folder.iterdir()) != before
            demo.send_signal(signal.SIGTERM)  # like Ctrl-C, which programs started in the background ignore
            _, said = demo.communicate(timeout=60)
        assert demo.returncode == 130
        assert "Interrupted" in said
        assert list(folder.iterdir()) == before


def test_the_next_command_ends_what_a_killed_demo_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with temporary_folder() as base:
        before = set(base.iterdir())
        with subprocess.Popen(
            [sys.executable, "-m", "demo.run", "--rows=1000"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(base)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as demo:
            assert demo.stdout
            assert "PostgreSQL runs on port" in demo.stdout.readline()
            [left] = set(base.iterdir()) - before
            monkeypatch.setattr(world, "_bases", lambda: [base])
            said: list[str] = []
            clear_away(said.append)
            assert (said, left.exists()) == ([], True)  # while it works, it is left alone
            os.killpg(demo.pid, signal.SIGKILL)
        server = EmbeddedServer(folder=left / "postgresql")
        assert server.running()
        assert world.down() == f"Stopped and deleted what a killed demo had left in {left}."
        assert not server.running()
        assert set(base.iterdir()) == before


def interrupt(done: list[bool]) -> None:
    with interruptible(), uninterrupted():
        signal.raise_signal(signal.SIGTERM)
        done.append(True)


def test_signals_wait_for_the_end_of_a_block() -> None:
    done: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt(done)
    assert done == [True]
