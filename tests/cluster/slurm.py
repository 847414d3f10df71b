"""A real Slurm on this machine for the length of a test: one node with two pretended GPUs, on loopback alone.

Debian's Slurm reads /etc/slurm only, as jobs do not inherit another place; everything else (munge's key, the accounting
database, the states, the logs, all ports) lies in a folder of its own. Daemons run in the foreground as children of the
test and die with it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
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

PACKAGES = ("slurm-wlm", "slurmdbd", "munge", "mariadb-server")
PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "mariadb-install-db")
CONFIGURATION = Path("/etc/slurm")
RUN_MUNGE = Path("/run/munge")
GPUS = 2
# Written into every file of ours there, so that no other Slurm is ever overwritten.
MARK = "# largestep's tests made this; it may be deleted\n"
PATIENCE_S = 60.0


class SlurmError(RuntimeError):
    """Slurm did not do what it was asked to."""


def why_not() -> str | None:
    """Why no Slurm can be started here, or None."""
    if os.geteuid() != 0:
        return "needs root, to install and start Slurm's daemons"
    if any(shutil.which(program) is None for program in PROGRAMS) and shutil.which("apt-get") is None:
        return f"needs apt-get, or the packages {', '.join(PACKAGES)}"
    for name in ("slurm.conf", "slurmdbd.conf", "gres.conf"):
        file = CONFIGURATION / name
        if file.exists() and MARK not in file.read_text(errors="replace"):
            return f"{file} is of a Slurm that is not ours"
    return None


def install() -> None:
    """Install Debian's packages where a program is missing; none of their services is started."""
    if all(shutil.which(program) for program in PROGRAMS):
        return
    # apt starts services through this; 101 says that it must not.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *PACKAGES],
        ):
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode != 0:
                raise SlurmError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    finally:
        if ours:
            policy.unlink()


@contextmanager
def running() -> Iterator[Slurm]:
    """A Slurm that takes jobs; all that it started is stopped, and all that it wrote is removed, at the end."""
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
        self.ports = {name: port for name, port in zip(("db", "dbd", "ctld", "slurmd"), _free_ports(4), strict=True)}
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
        self.start_slurmd()

    def start_slurmd(self) -> None:
        """Start the node's daemon and wait until the node takes jobs."""
        self._spawn("slurmd", "slurmd", "-D")
        self._until("the node takes jobs", lambda: self.node_state() in ("idle", "mix", "alloc"))

    def kill_slurmd(self) -> None:
        """SIGKILL to the node's daemon alone; its jobs go on."""
        daemon = self.daemons.pop("slurmd")
        daemon.kill()
        daemon.wait()

    def crash_node(self) -> int:
        """SIGKILL to the node's daemon and to every process of its jobs, as when a machine loses its power.

        Returns the number of processes killed.
        """
        self.kill_slurmd()
        killed = 0
        while processes := self.job_processes():
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
        for name in ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged"):
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

    def job_processes(self) -> list[int]:
        """Every process of a job of this Slurm, and Slurm's own process above it."""
        found: set[int] = set()
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with suppress(OSError):
                    environment = (folder / "environ").read_bytes().split(b"\0")
                    # SLURMD_NODENAME is given to jobs alone.
                    if f"SLURM_CLUSTER_NAME={self.cluster}".encode() in environment and any(
                        each.startswith(b"SLURMD_NODENAME=") for each in environment
                    ):
                        found.add(int(folder.name))
                        parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                        if Path(f"/proc/{parent}/cmdline").read_bytes().startswith(b"slurmstepd"):
                            found.add(parent)
        return sorted(found)

    def node_state(self) -> str:
        """What sinfo calls the state of the node, such as idle or down."""
        return (self.try_run("sinfo", "--noheader", "--format", "%t") or "").strip()

    def jobs(self) -> list[dict[str, str]]:
        """All jobs so far, with each of the starts of a job that was requeued: as sacct has them."""
        names = ("jobid", "state", "comment", "start", "end", "elapsed", "timelimit", "alloctres", "partition", "account")
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
        """The ends of the daemons' logs."""
        return "".join(
            f"\n--- {file.name}\n{file.read_text(errors='replace')[-1500:]}" for file in self.folder.glob("*.log")
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
        processors = os.cpu_count() or 1
        for name in ("ctld", "d"):
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
LogFile={self.folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={self.ports["db"]}
StorageLoc=slurm_acct
StorageUser=slurm
StoragePass=slurm
""",
            0o600,
        )
        _write("gres.conf", f"Name=gpu Count={GPUS} File=/dev/tty[0-{GPUS - 1}]\n", 0o644)
        _write(
            "slurm.conf",
            f"""
ClusterName={self.cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={self.ports["ctld"]}
SlurmdPort={self.ports["slurmd"]}
AuthType=auth/munge
CredType=cred/munge
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={self.folder}/ctld
SlurmdSpoolDir={self.folder}/d
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd.pid
SlurmctldLogFile={self.folder}/slurmctld.log
SlurmdLogFile={self.folder}/slurmd.log
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
SlurmdTimeout=15
KillWait=3
MinJobAge=300
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={4 * processors} Boards=1 SocketsPerBoard=1 CoresPerSocket={4 * processors} \
ThreadsPerCore=1 RealMemory=64000 Gres=gpu:{GPUS} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=UNLIMITED State=UP PriorityTier=1
PartitionName=gpu Nodes={host} MaxTime=UNLIMITED State=UP PriorityTier=1
PartitionName=urgent Nodes={host} MaxTime=UNLIMITED State=UP PriorityTier=10
SlurmdParameters=config_overrides
""",
            0o644,
        )

    def _folder_of(self, user: str) -> Path:
        folder = self.folder / user
        folder.mkdir(mode=0o755)
        os.chown(folder, _uid(user), -1)
        return folder

    def _spawn(self, name: str, *command: str, user: str | None = None) -> None:
        with (self.folder / f"{name}.out.log").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                user=user,
                group=pwd.getpwnam(user).pw_gid if user else None,
                preexec_fn=_die_with_parent,
                env={key: value for key, value in os.environ.items() if not key.startswith("SLURM")},
            )

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            ended = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise SlurmError(f"waited for: {what}; ended: {ended}{self.logs()}")
            time.sleep(0.2)


def environment_of(pid: int) -> Mapping[str, str]:
    """The environment that a process was started with."""
    pairs = (each.partition("=") for each in Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0") if each)
    return {key: value for key, _, value in pairs}


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
