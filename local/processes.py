"""Programs that go on running when the one that started them has ended, until somebody stops them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Seconds that programs get to end by themselves.
TIMEOUT = 20


class Processes:
    """Background programs whose numbers and logs are in a folder, where another `Processes` finds them.

    Args:
        folder: of the record and the logs; it must exist before `start`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._record = folder / "processes.json"
        #: Name to process id and the time it was started.
        self._known: dict[str, tuple[int, str | None]] = {}
        if self._record.exists():
            self._known = {
                name: (pid, started) for name, (pid, started) in json.loads(self._record.read_text()).items()
            }
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a program, with its output in the log of its name."""
        with self._log(name).open("ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=environment,
                start_new_session=True,  # a group of its own, which is stopped as one, and which Ctrl-C does not reach
            )
        self._children.append(child)
        self._known[name] = (child.pid, _started(child.pid))
        self._record.write_text(json.dumps(self._known))

    def started(self) -> set[str]:
        """The names of the programs that were started and not stopped."""
        return set(self._known)

    def ended(self) -> list[str]:
        """The names of those that have ended by themselves."""
        self._reap()
        return [name for name, (pid, started) in self._known.items() if _started(pid) != started]

    def end_of_log(self, name: str) -> str:
        """The end of a program's log."""
        log = self._log(name)
        return "\n".join(log.read_text(errors="replace").splitlines()[-20:]) if log.exists() else ""

    def stop(self) -> None:
        """Stop all and what they have started; those that do not end in time are killed."""
        # A number that another program has by now is not ours; one that nobody has may still be that of a group.
        groups = [pid for pid, started in self._known.values() if _started(pid) in (None, started)]
        for kind in (signal.SIGTERM, signal.SIGKILL):
            groups = [group for group in groups if _signal(group, kind)]
            deadline = time.monotonic() + TIMEOUT
            while groups and time.monotonic() < deadline:
                self._reap()
                groups = [group for group in groups if _signal(group, 0)]
                time.sleep(0.1)
        self._record.unlink(missing_ok=True)
        self._known = {}

    def _reap(self) -> None:
        for child in self._children:
            child.poll()  # else it stays, as a zombie, in its group

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def _signal(group: int, kind: int) -> bool:
    """Send a signal to a process group; False when nobody is left in it."""
    try:
        os.killpg(group, kind)
    except (ProcessLookupError, PermissionError):  # macOS answers so for a group of zombies
        return False
    return True


def _started(pid: int) -> str | None:
    """When a process started, which tells it from a later one with its number; None when it has ended."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    said = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = said.stdout.strip().partition(" ")
    return None if state.startswith("Z") else started.strip() or None
