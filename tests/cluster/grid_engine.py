"""A real Grid Engine on this machine for the length of a test, in namespaces of its own that nobody else reaches.

Debian's Grid Engine knows one place for its files and one port; in the namespaces these are a copy and nobody else's.
All processes in them, daemons and jobs, end with the first one.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import packages

PACKAGES = ("gridengine-master", "gridengine-exec", "gridengine-client")
PROGRAMS = ("sge_qmaster", "sge_execd", "qsub", "qstat", "qacct", "qdel", "qconf")
ROOT = Path("/var/lib/gridengine")
CELL = ROOT / "default"
SPOOL = Path("/var/spool/gridengine")
HOST = "sgehost"
PATIENCE_S = 180.0
# The first process: it reaps others, without which execd takes a job that was killed for one that lives.
REAPER = "sleep infinity & wait"

# Jobs of root, and all that waits sooner; a node that is silent for half a minute is lost.
SETTINGS = {
    "min_uid": "0",
    "min_gid": "0",
    "load_report_time": "00:00:05",
    "max_unheard": "00:00:30",
    "reporting_params": "accounting=true reporting=false flush_time=00:00:01 joblog=false sharelog=00:00:00",
}
HOST_FILE = f"""hostname {HOST}
load_scaling NONE
complex_values NONE
user_lists NONE
xuser_lists NONE
projects NONE
xprojects NONE
usage_scaling NONE
report_variables NONE
"""


class GridEngineError(RuntimeError):
    """Grid Engine did not do what it was asked to."""


def why_not() -> str | None:
    """Why no Grid Engine can be started here, or None."""
    if os.geteuid() != 0:
        return "needs root, to install and start Grid Engine's daemons"
    if any(shutil.which(program) is None for program in ("unshare", "nsenter", "ip")):
        return "needs unshare, nsenter and ip"
    if subprocess.run(_unshare("true"), capture_output=True).returncode != 0:
        return "needs namespaces of its own (unshare)"
    if any(shutil.which(program) is None for program in PROGRAMS) and (reason := packages.why_not(PACKAGES)):
        return reason
    if CELL.exists() and (CELL / "common/act_qmaster").read_text().strip():
        return f"{CELL} is of a Grid Engine that is not ours"
    return None


def install() -> None:
    """Install Debian's packages where a program is missing; none of their services is started."""
    if any(shutil.which(program) is None for program in PROGRAMS):
        packages.install(PACKAGES)


@contextmanager
def running(folder: Path) -> Iterator[GridEngine]:
    """A Grid Engine that takes jobs and writes into a folder; all that it started is stopped at the end."""
    engine = GridEngine(folder)
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()


@dataclass
class GridEngine:
    """The daemons, and what a test does to them."""

    folder: Path
    holder: subprocess.Popen[bytes] | None = None
    inside: int = 0
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        """Start everything in its order, each once the one before answers."""
        self.holder = subprocess.Popen(_unshare("bash", "-c", REAPER), preexec_fn=_die_with_parent)
        children = Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children")
        self._until("the namespaces", lambda: bool(children.read_text()))
        self.inside = int(children.read_text())
        self._until("the namespaces hold a process", lambda: self.try_run("true") is not None)
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n10.99.0.1 {HOST}\n")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", "10.99.0.1/32", "dev", "lo")
        self.run("hostname", HOST)
        self.run("mount", "--bind", str(self.folder / "hosts"), "/etc/hosts")
        for place in (CELL, SPOOL):
            copy = self.folder / place.name
            self.run("cp", "--archive", str(place), str(copy))
            self.run("mount", "--bind", str(copy), str(place))
        self.run("tee", str(CELL / "common/act_qmaster"), given=f"{HOST}\n")
        self._spawn("sge_qmaster")
        self._until("sge_qmaster answers", lambda: self.try_run("qconf", "-sh") is not None)
        self._configure()
        self.start_execd()

    def start_execd(self) -> None:
        """Start the node's daemon and wait until the node takes jobs."""
        self._spawn("sge_execd")
        self._until("the node takes jobs", lambda: self.node_state() == "")

    def lose_node(self) -> None:
        """SIGKILL to the node's daemon and to every process of its jobs, as when a machine loses its power."""
        self.daemons.pop("sge_execd").kill()
        self.run("pkill", "--signal", "KILL", "--exact", "sge_execd")
        for shepherd in self.run("pgrep", "--exact", "sge_shepherd").split():
            # A job is a session of its own, below its shepherd.
            for job in self.run("pgrep", "--parent", shepherd).split():
                self.run("kill", "-KILL", shepherd)
                self.run("pkill", "--signal", "KILL", "--session", job)

    def stop(self) -> None:
        """End every job and every daemon."""
        if self.holder is not None:
            # The first process of the namespaces ends with it, and with that one all others.
            self.holder.kill()
            self.holder.wait()
        for daemon in self.daemons.values():
            daemon.wait()
        self._until("all processes have ended", lambda: not Path(f"/proc/{self.inside}").exists())

    def node_state(self) -> str:
        """What qstat calls the state of the queue on the node: nothing, or letters such as u for unknown."""
        [line] = [line for line in self.run("qstat", "-f").splitlines() if line.startswith("all.q@")]
        # Until it has reported its load it is taken for unknown.
        return "".join(line.split()[5:])

    def jobs(self) -> dict[str, str]:
        """The states of the jobs that wait or run, by their ids."""
        lines = (line.split() for line in self.run("qstat", "-u", "*").splitlines()[2:])
        return {words[0]: words[4] for words in lines}

    def accounts(self, job: str) -> str:
        """What Grid Engine keeps of a job that has ended."""
        return self.run("qacct", "-j", job)

    def command(self, *words: str, folder: Path = Path("/")) -> list[str]:
        """A command in the namespaces, in a folder there."""
        names = ("--net", "--uts", "--mount", "--pid")
        return ["nsenter", f"--target={self.inside}", *names, f"--wdns={folder}", *words]

    def environment(self) -> dict[str, str]:
        """What programs of Grid Engine must know."""
        return os.environ | {"SGE_ROOT": str(ROOT), "SGE_CELL": CELL.name}

    def run(self, *words: str, given: str = "") -> str:
        """What a command in the namespaces prints; GridEngineError if it fails."""
        done = subprocess.run(
            self.command(*words),
            env=self.environment(),
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        if done.returncode != 0:
            raise GridEngineError(f"{' '.join(words)} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def try_run(self, *words: str) -> str | None:
        """What a command prints, or None if it fails."""
        try:
            return self.run(*words)
        except (GridEngineError, subprocess.TimeoutExpired):
            return None

    def _configure(self) -> None:
        self.run("qconf", "-as", HOST)
        self._change("-sconf", "-Mconf", "global", SETTINGS)
        self._change("-ssconf", "-Msconf", "scheduler", {"schedule_interval": "0:0:1"})
        (self.folder / "host").write_text(HOST_FILE)
        self.run("qconf", "-Ae", str(self.folder / "host"))
        # More than there are: the jobs of a test mostly wait.
        queue = {"qname": "all.q", "hostlist": HOST, "slots": "8", "load_thresholds": "NONE", "pe_list": "NONE"}
        self._change("-sq", "-Aq", "queue", queue)

    def _change(self, show: str, set_to: str, name: str, values: dict[str, str]) -> None:
        """Set some lines of what one option of qconf shows and another takes."""
        text = self.run("qconf", show).replace("\\\n", "")
        for key, value in values.items():
            text, changed = re.subn(rf"^{key} .*", f"{key} {value}", text, flags=re.MULTILINE)
            assert changed == 1, key
        (self.folder / name).write_text(re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
        self.run("qconf", set_to, str(self.folder / name))

    def _spawn(self, program: str) -> None:
        with (self.folder / f"{program}.log").open("ab") as log:
            self.daemons[program] = subprocess.Popen(
                self.command(program),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment() | {"SGE_ND": "1"},
            )

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > deadline:
                logs = (f"{file.name}: {file.read_text()[-700:]}" for file in self.folder.glob("*.log"))
                raise GridEngineError(f"waited for: {what}\n{chr(10).join(logs)}")
            time.sleep(0.1)


def _unshare(*words: str) -> list[str]:
    names = ("--net", "--uts", "--mount", "--pid")
    return ["unshare", *names, "--fork", "--kill-child=KILL", "--mount-proc", "--propagation=private", *words]


def _die_with_parent() -> None:
    # PR_SET_PDEATHSIG: a test that is killed leaves nothing behind.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
