"""Programs that run on in the background."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local import processes
from local.processes import Processes
from tests.fixtures.database import ROOT

#: Starts a child of its own, tells its number, and waits for its end.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}])
print(child.pid, flush=True)
child.wait()
"""

WAITING = "import sys; sys.stdin.close(); import signal; signal.pause()"
IGNORING = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)\nwhile True: signal.pause()"


def start(folder: Path, name: str, program: str) -> None:
    """Start a program in the background, by another one that ends at once."""
    starter = (
        "import os, sys; from pathlib import Path; from local.processes import Processes; "
        "Processes(Path(sys.argv[1])).start(sys.argv[2], [sys.executable, '-c', sys.argv[3]], os.environ)"
    )
    subprocess.run([sys.executable, "-c", starter, folder, name, program], cwd=ROOT, check=True)


def wait_for(log: Path, text: str) -> str:
    """What a program has printed, once that has `text` in it."""
    command = ["timeout", "60", "tail", "-n", "+1", "-F", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        for line in tail.stdout or ():
            if text in line:
                tail.terminate()
                return str(line)
    raise AssertionError(f"{log} ends without {text}")


def alive(pid: int) -> bool:
    return processes._started(pid) is not None


def test_another_finds_and_stops_them_with_their_children(tmp_path: Path) -> None:
    start(tmp_path, "parent", PARENT.format(child=WAITING))
    child = int(wait_for(tmp_path / "parent.log", "\n"))
    again = Processes(tmp_path)
    assert again.started() == {"parent"}
    assert again.ended() == []
    again.stop()
    assert not alive(child)
    assert Processes(tmp_path).started() == set()


def test_one_that_ignores_the_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "TIMEOUT", 0.5)
    start(tmp_path, "ignoring", IGNORING)
    wait_for(tmp_path / "ignoring.log", "ready")
    [(pid, _)] = json.loads((tmp_path / "processes.json").read_text()).values()
    assert alive(pid)
    Processes(tmp_path).stop()
    assert not alive(pid)


def test_one_that_has_ended_is_named_with_its_last_words(tmp_path: Path) -> None:
    running = Processes(tmp_path)
    running.start("brief", [sys.executable, "-c", "print('my last words')"], os.environ)
    wait_for(tmp_path / "brief.log", "last words")
    running._children[0].wait()
    assert running.ended() == ["brief"]
    assert running.end_of_log("brief") == "my last words"
    running.stop()


def test_a_number_that_another_program_has_by_now_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WAITING], start_new_session=True) as stranger:
        (tmp_path / "processes.json").write_text(json.dumps({"gone": [stranger.pid, "another time"]}))
        found = Processes(tmp_path)
        assert found.ended() == ["gone"]
        found.stop()
        assert stranger.poll() is None
        stranger.kill()
