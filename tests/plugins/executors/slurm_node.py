"""A SLURM cluster of one node on 127.0.0.1: the real controller, daemon and authentication."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

CONF = """
ClusterName=zobench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={slurmd_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
JobRequeue=1
KillWait=20
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol")
PATIENCE = 60.0


class SlurmNode:
    """The daemons of a cluster.

    Attributes:
        environment: Environment variables of the daemons and of SLURM commands.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": os.pathsep.join(
                [str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"]
            ),
        }
        self._started: list[subprocess.Popen[bytes]] = []
        host = os.uname().nodename.partition(".")[0]
        port = 20000 + secrets.randbelow(20000)
        (folder / "slurm.conf").write_text(
            CONF.format(
                host=host,
                folder=folder,
                port=port,
                slurmd_port=port + 1,
                cores=len(os.sched_getaffinity(0)),
            )
        )
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self._start(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={key}",
            f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munge.pid",
            f"--log-file={folder}/munge.log",
            f"--seed-file={folder}/munge.seed",
        )
        self._wait_for((folder / "munge.socket").exists)
        self._start("slurmctld", "-D", "-c")
        self._start("slurmd", "-D", "-N", host)
        self._wait_for(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T"))

    def _start(self, *words: str) -> None:
        with (self.folder / f"{words[0]}.out").open("wb") as out:
            self._started.append(
                subprocess.Popen(words, env=self.environment, stdout=out, stderr=subprocess.STDOUT)
            )

    def ask(self, *words: str) -> str:
        found = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        return found.stdout

    def _wait_for(self, holds: object) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():  # type: ignore[operator]
            assert time.monotonic() < end, "\n".join(
                f"{each}:\n{each.read_text()[-1500:]}"
                for each in (*self.folder.glob("*.log"), *self.folder.glob("*.out"))
            )
            time.sleep(0.2)

    def close(self) -> None:
        self.ask("scancel", "--user=root")
        time.sleep(1)
        for each in reversed(self._started):
            each.terminate()
        for each in reversed(self._started):
            try:
                each.wait(20)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()


@contextmanager
def slurm_node() -> Iterator[SlurmNode]:
    folder = Path(mkdtemp(prefix="zb-", dir="/tmp"))  # the path of a socket must be short
    folder.chmod(0o755)
    made = SlurmNode(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def why_not() -> str:
    """The reason why no cluster can be started on this machine; empty if there is none."""
    import importlib.util

    if importlib.util.find_spec("submitit") is None:
        return "submitit is not installed: python -m pip install 'zobench[slurm]'"
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    missing = [each for each in PROGRAMS if shutil.which(each, path=path) is None]
    if missing:
        return f"SLURM is not installed: {', '.join(missing)} (Debian: slurmctld slurmd munge)"
    return "" if os.geteuid() == 0 else "SLURM's daemons need root"
