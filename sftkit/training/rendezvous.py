"""Where the ranks meet. torch's own meeting point listens on every network of the machine, and takes orders from
anybody who connects: this one listens only on the address that the ranks use, which is loopback for a run on one host."""

from __future__ import annotations

import os
import socket

from torch.distributed import TCPStore

from sftkit.runs import hosts

_store: TCPStore | None = None  # as long as it lives, it listens


def listen() -> None:
    """In rank 0: open the meeting point at MASTER_ADDR and MASTER_PORT, and tell torch that it is there.

    Raises OSError when the port is taken. Leaves it to torch where MASTER_ADDR is no address of this host to listen on:
    behind a router, or a host's own name that means 127.0.1.1 there.
    """
    global _store
    address, port = hosts.resolve(os.environ["MASTER_ADDR"]), int(os.environ["MASTER_PORT"])
    several_hosts = int(os.environ["LOCAL_WORLD_SIZE"]) < int(os.environ["WORLD_SIZE"])
    far = not hosts.is_here(address) or (several_hosts and hosts.is_loopback(address))
    if os.environ["RANK"] != "0" or far:
        return
    listener = socket.create_server(
        (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=2048
    )
    _store = TCPStore(
        address, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach()
    )
    # torch's names for: somebody else has opened it, connect as the others do.
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
