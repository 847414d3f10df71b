"""A real Slurm on this machine for the length of a test: a node with two pretended GPUs and a spare one with one.

Debian's Slurm reads /etc/slurm only, as jobs do not inherit another place; everything else (munge's key, the accounting
database, the states, the logs, all ports) lies in a folder of its own. Daemons run in the foreground as children of the
test and die with it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import packages

PACKAGES = ("slurm-wlm", "slurmdbd", "munge", "mariadb-server")
PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "mariadb-install-db")
CONFIGURATION = Path("/etc/slurm")
RUN_MUNGE = Path("/run/munge")
# The nodes, all of them this machine, and their GPUs.
NODES = {"first": 2, "spare": 1}
# What stands for a GPU, numbered from 0: Slurm gives jobs the numbers of character devices alone.
DEVICE = "/dev/tty"
# Written into every file of ours there, so that no other Slurm is ever overwritten.
MARK = "# largestep's tests made this; it may be deleted\n"
PATIENCE_S = 180.0


class SlurmError(RuntimeError):
    """Slurm did not do what it was asked to."""


def why_not() -> str | None:
    """Why no Slurm can be started here, or None."""
    if os.geteuid() != 0:
        return "needs root, to install and start Slurm's daemons"
    if any(shutil.which(program) is None for program in PROGRAMS) and (reason := packages.why_not(PACKAGES)):
        return reason
    if not Path(f"{DEVICE}{max(NODES.values()) - 1}").exists():
        return f"needs {DEVICE}0 and the next as stand-ins for GPUs"
    for name in ("slurm.conf", "slurmdbd.conf", "gres.conf"):
        file = CONFIGURATION / name
        if file.exists() and MARK not in file.read_text(errors="replace"):
            return f"{file} is of a Slurm that is not ours"
    return None


def install() -> None:
    """Install Debian's packages where a program is missing; none of their services is started."""
    if all(shutil.which(program) for program in PROGRAMS):
        return
    packages.install(PACKAGES)


@contextmanager
def running() -> Iterator[Slurm]:
    """A Slurm that takes jobs; all that it started is stopped, and all that it wrote is removed, at the end."""
    _clear_after_a_killed_test()
    slurm = Slurm(Path(tempfile.mkdtemp(prefix="largestep-slurm-")))
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


@dataclass
class Slurm:
    """The daemons, and what a test does to them."""

    folder: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def cluster(self) -> str:
        """The name of the cluster, which no other has: its jobs are known by it."""
        return self.folder.name.replace("-", "").replace("_", "").lower()

    def start(self) -> None:
        """Start everything in its order, each once the one before answers."""
        self.folder.chmod(0o755)
        names = ("db", "dbd", "ctld", *NODES)
        self.ports = dict(zip(names, _free_ports(len(names)), strict=True))
        self._start_munge()
        self._start_database()
        self._configure()
        self._spawn("slurmdbd", "slurmdbd", "-D")
        self._until("slurmdbd answers", lambda: self.try_run("sacctmgr", "-n", "show", "cluster") is not None)
        self.run("sacctmgr", "-i", "add", "cluster", self.cluster)
        self.run("sacctmgr", "-i", "add", "account", "research", f"cluster={self.cluster}")
        self.run("sacctmgr", "-i", "add", "user", "root", "account=research", f"cluster={self.cluster}")
        self._spawn("slurmctld", "slurmctld", "-D", "-i")
        self._until("slurmctld answers", lambda: self.try_run("scontrol", "ping") is not None)
        for node in NODES:
            self.start_slurmd(node)

    def start_slurmd(self, node: str) -> None:
        """Start a node's daemon and wait until the node takes jobs."""
        self._spawn(node, "slurmd", "-D", "-N", node)
        self._until(f"{node} takes jobs", lambda: self.node_state(node) in ("idle", "mix", "alloc", "drain"))

    def kill_slurmd(self, node: str) -> None:
        """SIGKILL to a node's daemon alone; its jobs go on."""
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()

    def crash(self, node: str) -> int:
        """SIGKILL to a node's daemon and to every process of its jobs, as when a machine loses its power.

        Returns the number of processes killed.
        """
        self.kill_slurmd(node)
        killed = 0
        while processes := self.job_processes(node):
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            time.sleep(0.1)
        return killed + 1

    def stop(self) -> None:
        """End every job and every daemon, and remove what was written."""
        if "slurmctld" in self.daemons:
            self.try_run("scancel", "--user", "root", "--full")
        for name in (*NODES, "slurmctld", "slurmdbd", "mariadbd", "munged"):
            daemon = self.daemons.pop(name, None)
            if daemon is not None:
                daemon.terminate()
                try:
                    daemon.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()
        for pid in self.job_processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in ("slurm.conf", "slurmdbd.conf", "gres.conf"):
            file = CONFIGURATION / name
            if file.exists() and MARK in file.read_text():
                file.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_at_once(self, *jobs: str) -> None:
        """Spare jobs that were requeued the two minutes for which Slurm holds them back."""
        # slurmctld 22.05 dies if a job starts while what is left of it is still being cleared away.
        time.sleep(10)
        for job in jobs:
            # Refused for one that has ended meanwhile, which is as well.
            self.try_run("scontrol", "update", f"jobid={job}", "starttime=now")

    def job_processes(self, node: str | None = None) -> list[int]:
        """Every process of the jobs of this Slurm, or of one node of it, and Slurm's own processes above them."""
        nodes = [node] if node else list(NODES)
        # Of a job; the second is given to jobs alone.
        marks = {f"SLURM_CLUSTER_NAME={self.cluster}", *(f"SLURMD_NODENAME={each}" for each in nodes)}
        homes = tuple(str(self.folder / each) for each in nodes)
        processes = []
        for folder in Path("/proc").iterdir():
            # A process may end while it is looked at.
            with suppress(OSError):
                if not folder.name.isdecimal():
                    continue
                if (folder / "cmdline").read_bytes().startswith(b"slurmstepd"):
                    ours = os.readlink(folder / "cwd").startswith(homes)
                else:
                    environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                    ours = len(marks.intersection(environment)) == 2
                if ours:
                    processes.append(int(folder.name))
        return processes

    def node_state(self, node: str) -> str:
        """What sinfo calls the state of a node, such as idle or down*."""
        printed = self.try_run("sinfo", "--noheader", "--nodes", node, "--partition", "cpu", "--format", "%t")
        return (printed or "").strip()

    def jobs(self) -> list[dict[str, str]]:
        """All jobs so far, with each of the starts of a job that was requeued: as sacct has them."""
        names = (
            *("jobid", "state", "comment", "start", "end", "elapsed", "timelimit"),
            *("alloctres", "partition", "account", "nodelist"),
        )
        table = self.run(
            "sacct", "--allocations", "--duplicates", "--noheader", "--parsable2", "--format", ",".join(names)
        )
        return [dict(zip(names, line.split("|"), strict=True)) for line in table.splitlines()]

    def run(self, *command: str) -> str:
        """What a command of Slurm prints; SlurmError if it fails."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        if done.returncode != 0:
            raise SlurmError(f"{' '.join(command)} failed: {done.stdout}{done.stderr}{self.logs()}")
        return done.stdout

    def try_run(self, *command: str) -> str | None:
        """What a command of Slurm prints, or None if it fails."""
        try:
            return self.run(*command)
        except (SlurmError, subprocess.TimeoutExpired):
            return None

    def logs(self) -> str:
        """Which daemons ended, and the ends of all daemons' logs."""
        ended = {name: daemon.returncode for name, daemon in self.daemons.items() if daemon.poll() is not None}
        return f"\nended: {ended}" + "".join(
            f"\n--- {file.name}\n{file.read_text(errors='replace')[-700:]}"
            for file in sorted(self.folder.glob("*.log"))
        )

    def _start_munge(self) -> None:
        """One of our own at the usual place, which Slurm's programs know, unless one runs there."""
        if _munge_answers():
            return
        folder = self._folder_of("munge")
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        os.chown(key, _uid("munge"), -1)
        key.chmod(0o400)
        RUN_MUNGE.mkdir(mode=0o755, exist_ok=True)
        os.chown(RUN_MUNGE, _uid("munge"), -1)
        files = {"key-file": key} | {f"{name}-file": folder / f"munged.{name}" for name in ("pid", "log", "seed")}
        options = [f"--{name}={path}" for name, path in files.items()]
        self._spawn("munged", "munged", "--foreground", "--num-threads=10", *options, user="munge")
        self._until("munged answers", _munge_answers)

    def _start_database(self) -> None:
        folder = self._folder_of("mysql")
        subprocess.run(
            [
                *("mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", "--user=mysql"),
                *("--auth-root-authentication-method=socket", "--skip-test-db"),
            ],
            check=True,
            capture_output=True,
        )
        self._spawn(
            "mariadbd",
            *("mariadbd", "--no-defaults", f"--datadir={folder}/data", f"--socket={folder}/socket"),
            *("--bind-address=127.0.0.1", f"--port={self.ports['db']}", f"--pid-file={folder}/pid"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M"),
            user="mysql",
        )
        ask = ("mariadb", "--no-defaults", f"--socket={folder}/socket", "--user=root", "--execute")
        self._until("mariadbd answers", lambda: self.try_run(*ask, "select 1") is not None)
        self.run(
            *ask,
            "create database slurm_acct; "
            + "".join(
                f"create user slurm@'{host}' identified by 'slurm'; grant all on slurm_acct.* to slurm@'{host}';"
                for host in ("localhost", "127.0.0.1")
            ),
        )

    def _configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        # More than there are: the jobs of a test mostly wait.
        cores = 4 * (os.cpu_count() or 1)
        for name in ("ctld", *NODES):
            (self.folder / name).mkdir()
        CONFIGURATION.mkdir(exist_ok=True)
        _write(
            "slurmdbd.conf",
            f"""
AuthType=auth/munge
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={self.ports["dbd"]}
SlurmUser=root
PidFile={self.folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={self.ports["db"]}
StorageLoc=slurm_acct
StorageUser=slurm
StoragePass=slurm
""",
            0o600,
        )
        _write(
            "gres.conf",
            "".join(
                f"NodeName={node} Name=gpu Count={gpus} File={DEVICE}[0-{gpus - 1}]\n" for node, gpus in NODES.items()
            ),
            0o644,
        )
        nodes = "".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={self.ports[node]} CPUs={cores} Boards=1 "
            f"SocketsPerBoard=1 CoresPerSocket={cores} ThreadsPerCore=1 RealMemory=64000 Gres=gpu:{gpus}\n"
            for node, gpus in NODES.items()
        )
        partitions = "".join(
            f"PartitionName={name} Nodes={','.join(NODES)} Default={'YES' if name == 'cpu' else 'NO'} "
            f"MaxTime=UNLIMITED State=UP PriorityTier={priority}\n"
            for name, priority in {"cpu": 1, "gpu": 1, "urgent": 10}.items()
        )
        _write(
            "slurm.conf",
            f"""
ClusterName={self.cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={self.ports["ctld"]}
AuthType=auth/munge
CredType=cred/munge
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={self.folder}/ctld
SlurmdSpoolDir={self.folder}/%n
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={self.ports["dbd"]}
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=6
KillWait=3
MinJobAge=300
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=0
{nodes}{partitions}SlurmdParameters=config_overrides
""",
            0o644,
        )

    def _folder_of(self, user: str) -> Path:
        folder = self.folder / user
        folder.mkdir(mode=0o755)
        os.chown(folder, _uid(user), -1)
        return folder

    def _spawn(self, name: str, *command: str, user: str | None = None) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Slurm's own processes of jobs are known by it.
                cwd=self.folder / name if name in NODES else self.folder,
                start_new_session=True,
                user=user,
                group=pwd.getpwnam(user).pw_gid if user else None,
                preexec_fn=_die_with_parent,
                env={key: value for key, value in os.environ.items() if not key.startswith("SLURM")},
            )

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            ended = any(daemon.poll() is not None for daemon in self.daemons.values())
            if ended or time.monotonic() > deadline:
                raise SlurmError(f"waited for: {what}{self.logs()}")
            time.sleep(0.2)


def environment_of(pid: int) -> Mapping[str, str]:
    """The environment that a process was started with."""
    pairs = (each.partition("=") for each in Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0") if each)
    return {key: value for key, _, value in pairs}


def _clear_after_a_killed_test() -> None:
    """Its daemons died with it; its jobs, its folder and its configuration may be left."""
    file = CONFIGURATION / "slurm.conf"
    if file.exists():
        left = re.search(r"^StateSaveLocation=(.*)/ctld$", file.read_text(), flags=re.MULTILINE)
        if left is not None:
            Slurm(Path(left.group(1))).stop()


def _munge_answers() -> bool:
    return subprocess.run(["munge", "--no-input"], capture_output=True).returncode == 0


def _write(name: str, text: str, mode: int) -> None:
    file = CONFIGURATION / name
    file.write_text(MARK + text)
    file.chmod(mode)


def _uid(user: str) -> int:
    return pwd.getpwnam(user).pw_uid


def _die_with_parent() -> None:
    # PR_SET_PDEATHSIG: a test that is killed leaves no daemon behind.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
