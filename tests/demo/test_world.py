"""What the demo's world says when it cannot be made, and how it ends."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo import world
from demo.world import Source, World, WorldError, interruptible, own_folder, temporary_folder, uninterrupted
from tests.database import ROOT


def parse(*arguments: str) -> Source:
    parser = argparse.ArgumentParser()
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
        (["--rows", "0"], "at least 1"),
        (["--rows", "many"], "invalid _positive value"),
        (["--as-of", "yesterday"], "invalid _moment value"),
        (["--as-of", "2999-01-01"], "2999-01-01 is in the future"),
    ],
)
def test_bad_arguments_are_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(*arguments)
    assert said in capsys.readouterr().err


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
    with world._alone(), pytest.raises(WorldError, match="Another make up or make down"):
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


def interrupt(done: list[bool]) -> None:
    with interruptible(), uninterrupted():
        signal.raise_signal(signal.SIGTERM)
        done.append(True)


def test_signals_wait_for_the_end_of_a_block() -> None:
    done: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt(done)
    assert done == [True]
