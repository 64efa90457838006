"""Many hosts: the hostfile, what Slurm says, what a rank must know of its host, and the leash that ends far ranks.

Standard library and psutil only: the supervisor and every rank import this.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from sftkit.errors import DataError
from sftkit.runs import hardware
from sftkit.wording import say

HOSTFILE = "hostfile"  # in the run's folder: the hosts as this start of the run uses them
LINE = re.compile(r"(\S+)\s+slots=(\d+)(\s.*)?")
NAME = re.compile(
    r"[A-Za-z0-9_][\w.:@-]*"
)  # it stands in command lines: nothing that a shell or pdsh would read
LEASH = ".leash"
LEASH_VARIABLE = "SFTKIT_LEASH"  # set for those that hang on one
LEASH_LIMIT = 120.0  # seconds without a word from the supervisor after which a far rank gives up
LEASH_EVERY = 2.0  # seconds between two words


@dataclass(frozen=True)
class Host:
    """One machine and how many processes (on GPU machines: cards) it gives."""

    name: str
    slots: int

    @property
    def address(self) -> str:
        """Its name without the user that ssh may need."""
        return self.name.rpartition("@")[2]


# the hostfile


def parse(text: str) -> tuple[list[Host], list[tuple[int, str]]]:
    """The hosts of a hostfile (`name slots=N` a line, # comments), and its faults as (row from 1, what is wrong)."""
    hosts: dict[str, Host] = {}
    faults = []
    for row, line in enumerate(text.splitlines(), start=1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        match = LINE.fullmatch(line)
        if not match:
            faults.append((row, say("{line!r} is not of the form: name slots=N.", line=line[:80])))
        elif not NAME.fullmatch(match[1]):
            faults.append((row, say("{match!r} is no name of a host.", match=match[1][:80])))
        elif not int(match[2]):
            faults.append(
                (row, say("{match} has no slots: give it at least 1, or leave the line out.", match=match[1]))
            )
        elif match[1] in hosts:
            faults.append(
                (
                    row,
                    say(
                        "{match} is named twice: give each host one line with all its slots.", match=match[1]
                    ),
                )
            )
        else:
            hosts[match[1]] = Host(match[1], int(match[2]))
    if not hosts and not faults:
        faults.append((1, say("names no host: write a line for each, name slots=N.")))
    return list(hosts.values()), faults


def read(path: Path) -> list[Host]:
    """The hosts of the hostfile at `path`. Raises DataError naming the row of its first fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(say("the hostfile cannot be read: {error}", error=error), file=path) from None
    hosts, faults = parse(text)
    if faults:
        raise DataError(faults[0][1], file=path, row=faults[0][0])
    return hosts


# addresses


def is_loopback(address: str) -> bool:
    """Whether a name or an address means the machine itself. Raises OSError for a name that nobody knows."""
    return ipaddress.ip_address(resolve(address).partition("%")[0]).is_loopback


def resolve(name: str) -> str:
    """The IP address of a name, IPv4 first. Raises OSError for a name that nobody knows."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return str(min(found, key=lambda entry: entry[0] != socket.AF_INET)[4][0])


def own_address(towards: str) -> str:
    """The address of this machine from which packets to `towards` leave. Nothing is sent."""
    target = resolve(towards)
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((target, 9))
        return probe.getsockname()[0]


def is_here(name: str) -> bool:
    """Whether `name` is this machine. Raises OSError for a name that nobody knows."""
    return name == socket.gethostname() or resolve(name) in _interfaces()


def _interfaces() -> dict[str, str]:
    """address -> the name of its interface."""
    return {
        entry.address: name for name, entries in psutil.net_if_addrs().items() for entry in reversed(entries)
    }


def meeting_address(hosts: list[Host]) -> str:
    """The IP address where rank 0, on the first host, is found by the others. Raises OSError for an unknown name."""
    first = resolve(hosts[0].address)
    # Debian gives a machine's own name the address 127.0.1.1, which no other host can reach.
    return own_address(hosts[1].address) if len(hosts) > 1 and is_loopback(first) else first


# one rank's environment


def rank_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a rank needs and `environ` does not say: torch's names for its place (from Slurm's where there are no others),
    the network interface to its peers, its share of this host's cores."""
    known = dict(environ)

    def add(values: Mapping[str, str]) -> None:
        known.update({name: value for name, value in values.items() if name not in known})

    if "RANK" not in known and "SLURM_PROCID" in known:
        add(_slurm(known))
    add({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"})
    if "MASTER_PORT" not in known:
        add({"MASTER_PORT": str(hardware.free_port())})
    add({"LOCAL_WORLD_SIZE": known.get("LOCAL_SIZE") or known["WORLD_SIZE"]})  # LOCAL_SIZE: DeepSpeed's name
    add(_interface_to(known))
    # A rank with more threads than its share of the cores slows all others down.
    cores = int(known.get("SLURM_CPUS_ON_NODE") or 0) if "SLURM_PROCID" in known else 0
    share = (cores or hardware.cpu_cores()) // int(known["LOCAL_WORLD_SIZE"])
    add({"OMP_NUM_THREADS": str(max(1, share)), "OMP_WAIT_POLICY": "passive"})
    return {name: value for name, value in known.items() if name not in environ}


def _interface_to(known: Mapping[str, str]) -> dict[str, str]:
    """Between hosts, gloo and NCCL would guess the interface, and hang where they guess wrong."""
    master = known["MASTER_ADDR"]
    if is_loopback(master):
        others = _slurm_nodes(known)[
            1:
        ]  # a host whose own name means 127.0.1.1 looks at its neighbour instead
        if int(known["LOCAL_WORLD_SIZE"]) == int(known["WORLD_SIZE"]) or not others:
            return {"GLOO_SOCKET_IFNAME": "lo"} if Path("/sys/class/net/lo").exists() else {}
        master = others[0]
    name = _interfaces().get(own_address(master))
    return (
        {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": f"={name}"} if name else {}
    )  # =: that one exactly


def _slurm(known: Mapping[str, str]) -> dict[str, str]:
    """A rank's place from the variables that srun gives each task."""
    tasks = known.get("SLURM_STEP_NUM_TASKS") or known.get("SLURM_NTASKS", "1")
    here = _tasks_per_node(known.get("SLURM_STEP_TASKS_PER_NODE") or known.get("SLURM_TASKS_PER_NODE", ""))
    node, nodes = int(known.get("SLURM_NODEID", "0")), _slurm_nodes(known)
    cards = known.get("CUDA_VISIBLE_DEVICES", "")
    # With a card bound to each task, a task sees only its own, as number 0.
    local = "0" if cards and "," not in cards else known.get("SLURM_LOCALID", "0")
    return {
        "RANK": known["SLURM_PROCID"],
        "LOCAL_RANK": local,
        "WORLD_SIZE": tasks,
        "LOCAL_WORLD_SIZE": str(here[node] if node < len(here) else tasks),
        "MASTER_ADDR": nodes[0] if len(nodes) > 1 else "127.0.0.1",
        # The supervisor chooses a free one; ranks started by hand agree on this.
        "MASTER_PORT": str(20_000 + int(known.get("SLURM_JOB_ID") or 0) % 20_000),
    }


def _slurm_nodes(known: Mapping[str, str]) -> list[str]:
    return expand(known.get("SLURM_STEP_NODELIST") or known.get("SLURM_JOB_NODELIST", ""))


def expand(nodelist: str) -> list[str]:
    """Slurm's short form of host names in full: `gpu[01-03,7],login` -> gpu01, gpu02, gpu03, gpu7, login."""
    return [name for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", nodelist) for name in _expand(part)]


def _expand(part: str) -> list[str]:
    match = re.fullmatch(r"([^\[]*)\[([^\]]*)\](.*)", part)
    if not match:
        return [part]
    before, ranges, after = match.groups()
    middles = []
    for piece in ranges.split(","):
        low, _, high = piece.partition("-")
        middles += [f"{n:0{len(low)}d}" for n in range(int(low), int(high or low) + 1)]
    return [before + middle + rest for middle in middles for rest in _expand(after)]


def _tasks_per_node(text: str) -> list[int]:
    """`2(x3),1` -> 2, 2, 2, 1."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(tasks) for tasks, times in found for _ in range(int(times or 1))]


# the leash: a file on the shared disk; who holds it writes into it, who hangs on it reads


def hold(folder: Path, token: str) -> None:
    """A word from the supervisor: its token, and the time. Written over the last one, which is as long: no reader finds an
    empty file, and other hosts see it at their next open, also over NFS."""
    file = os.open(folder / LEASH, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.write(file, f"{token} {time.time():.6f}".encode())
    finally:
        os.close(file)


def drop(folder: Path) -> None:
    """End every rank that hangs on the leash, wherever it is."""
    (folder / LEASH).unlink(missing_ok=True)


@dataclass
class Leash:
    """What a far rank sees of its supervisor. No signal reaches it there, and the death of an ssh client ends nothing."""

    folder: Path
    limit: float = LEASH_LIMIT
    clock: Callable[[], float] = time.monotonic
    _word: list[str] = field(default_factory=list, init=False)
    _heard: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._word, self._heard = self._read() or [], self.clock()

    @property
    def lost(self) -> bool:
        """Whether the supervisor has let go, belongs to another start of the run, or has been silent for too long."""
        word = self._read()
        if not self._word or (word is not None and word[:1] != self._word[:1]):
            return True
        if word not in (None, self._word):
            self._word, self._heard = word, self.clock()
        return self.clock() - self._heard > self.limit

    def _read(self) -> list[str] | None:
        """The last word; empty when the leash was dropped, None when the disk cannot be read now."""
        try:
            return (self.folder / LEASH).read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []
        except OSError:
            return None


def is_cut(folder: Path) -> bool:
    """Whether this process hangs on a leash that was dropped."""
    return LEASH_VARIABLE in os.environ and not (folder / LEASH).exists()
