"""Two hosts for tests, made of two network namespaces of this machine joined by a cable (veth).

Each has an address, a host name and an /etc/hosts of its own; the disk is shared, as the runs folder must be. STAND-INS:
one machine plays both hosts, and `ssh` is a script that enters the other namespace.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

NET = "10.213.97"
# As sshd does it: the remote command gets an environment of its own, and outlives the client.
SSH = """#!/bin/sh
# A STAND-IN for ssh: enters the network namespace of that name.
while [ "${{1#-}}" != "$1" ]; do case "$1" in -[lpoi]) shift 2 ;; *) shift ;; esac; done
host=$1; shift
setsid env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root OMP_NUM_THREADS=1 {folder}/enter "$host" sh -c "$*" &
wait $!
"""
ENTER = """#!/bin/sh
host=$1; shift
exec ip netns exec "{prefix}$host" unshare --uts sh -c \\
  'hostname "$0"; mount --bind {folder}/hosts /etc/hosts; exec "$@"' "$host" "$@"
"""


def missing() -> str:
    """Why this machine cannot play two hosts; empty where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not (shutil.which("ip") and shutil.which("unshare")):
        return "`ip` or `unshare` is not installed (Debian: iproute2, util-linux)"
    with suppress(OSError):
        if not subprocess.run(
            ["unshare", "--net", "--uts", "--mount", "true"], capture_output=True
        ).returncode:
            return ""
    return "this machine allows no network namespaces"


@dataclass
class TwoHosts:
    """`alpha` and `beta`."""

    folder: Path

    def command(self, host: str, *words: str | Path) -> list[str]:
        """`words` as a command on that host."""
        return [str(self.folder / "enter"), host, *map(str, words)]

    def start(self, host: str, *words: str | Path, **options) -> subprocess.Popen:
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **options.pop("env", {})}
        return subprocess.Popen(
            self.command(host, *words), env=environment, stdin=subprocess.DEVNULL, **options
        )


@contextmanager
def two_hosts(folder: Path) -> Iterator[TwoHosts]:
    """Build them, and take them down again."""
    prefix = f"sftkit-{os.getpid()}-"
    names = {"alpha": f"{NET}.1", "beta": f"{NET}.2"}
    (folder / "bin").mkdir(parents=True)
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in names.items())]
    (folder / "hosts").write_text("\n".join(lines) + "\n")
    for place, text in (("enter", ENTER), ("bin/ssh", SSH)):
        (folder / place).write_text(text.format(prefix=prefix, folder=folder))
        (folder / place).chmod(0o755)
    _ip(*(f"netns add {prefix}{name}" for name in names))
    try:
        _ip(
            f"link add va{os.getpid()} netns {prefix}alpha type veth peer name vb{os.getpid()} netns {prefix}beta"
        )
        for (name, address), end in zip(names.items(), "ab", strict=True):
            inside = f"-n {prefix}{name}"
            _ip(f"{inside} link set lo up", f"{inside} link set v{end}{os.getpid()} up")
            _ip(f"{inside} addr add {address}/24 dev v{end}{os.getpid()}")
        yield TwoHosts(folder)
    finally:
        _ip(*(f"netns del {prefix}{name}" for name in names))


def _ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
