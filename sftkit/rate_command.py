"""What `sftkit rate` does: one project of a store, in the browsers of raters who write no code.

sftkit rate ratings.db --project pilot                               # on this machine alone; or sqlite:///ratings.db
sftkit rate postgresql://… --project pilot --host 0.0.0.0            # for a team: whoever has the link

Every vote is on disk before its rater sees the next prompt, so the server may be ended, or killed, at any moment. With a
token of one's own in SFTKIT_RATE_TOKEN and the same port, open pages go on by themselves after a new start.
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from sftkit.errors import ConfigError, Fault, StoreError
from sftkit.terminal import console_of

if TYPE_CHECKING:
    import ssl

    from sftkit.ratings import RatingStore
    from sftkit.widgets.rate_server import Desk

PORT = 8799  # when no other is asked for and it is free
TOKEN = "SFTKIT_RATE_TOKEN"
SHORTEST = 16  # characters of a token of one's own
LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Wishes:
    """The command's options. port None: PORT, or any free one; 0: any free one. cert, key: files for https."""

    store: str
    project: str
    raters: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int | None = None
    lang: str | None = None
    show_judge: bool = False
    browser: bool = True
    cert: Path | None = None
    key: Path | None = None


def rate(
    store: Annotated[str, typer.Argument(help="Rating store: a file such as ratings.db, or a database URL.")],
    project: Annotated[
        str,
        typer.Option(
            help="The only project that raters see; store.project(name, answers, instructions=…) makes one."
        ),
    ],
    rater: Annotated[
        list[str] | None, typer.Option(help="Who may rate; several. One: no name is asked. None: any name.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for a team.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port; 0 for any free one.", show_default="8799")] = None,
    lang: Annotated[str | None, typer.Option(help="en or zh; raters can switch.")] = None,
    show_judge: Annotated[
        bool, typer.Option("--show-judge", help="Raters may look at the judge's verdict after their vote.")
    ] = False,
    cert: Annotated[Path | None, typer.Option(help="Certificate (PEM), for https.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the link, open nothing.")] = False,
) -> None:
    """The comparison grid alone, in the browsers of raters who write no code, behind a link with a token.

    They see one project, blind, and nothing else of this machine. Ctrl-C ends it; every vote is on disk.
    SFTKIT_RATE_TOKEN sets a token of your own, so that the link stays the same.
    """
    serve(
        Wishes(store, project, tuple(rater or ()), host, port, lang, show_judge, not no_browser, cert, key),
        console_of(),
    )


def serve(wishes: Wishes, console: Console) -> None:
    """Serve until Ctrl-C. ConfigError for options that cannot work, StoreError when store or project is not there."""
    import asyncio

    token = _checked(wishes)
    tls = _tls(wishes)
    store = _store(wishes.store)
    project = store.project(wishes.project)
    desk = _desk(wishes, store, project, token)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("sftkit.widgets").setLevel(logging.INFO)  # who comes and goes, and what went wrong
    sockets = _sockets(wishes)
    desk.port = sockets[0].getsockname()[1]
    counts = project.counts()
    console.print(
        f"{project.name}: {len(counts)} comparisons, {project.overlap} wanted of each", soft_wrap=True
    )
    console.print(f"\n  {_link(wishes, desk)}\n", soft_wrap=True)
    console.print("\n".join(_reach(wishes, desk)), soft_wrap=True)
    shown = _open(_link(wishes, desk)) if wishes.browser else None
    try:
        asyncio.run(_until_stopped(desk, sockets, tls))
    finally:
        if shown:
            shown.unlink(missing_ok=True)
    progress = project.progress()
    console.print(f"ended; {int(progress['votes'].sum())} votes are in the store", soft_wrap=True)


def _checked(wishes: Wishes) -> str:
    """The token; ConfigError with everything that is wrong with the options."""
    from sftkit.widgets.labels import LANGUAGES
    from sftkit.widgets.rate_server import fit_name

    faults = []
    for name in wishes.raters:
        if fit_name(name) != name:
            faults.append(
                Fault("--rater", f"{name!r} is no name.", "Write 1 to 64 letters, without a colon.")
            )
    if wishes.lang is not None and wishes.lang not in LANGUAGES:
        faults.append(
            Fault("--lang", f"there are no labels in {wishes.lang!r}.", f"There are: {', '.join(LANGUAGES)}.")
        )
    if wishes.port is not None and not 0 <= wishes.port <= 65535:
        faults.append(Fault("--port", f"{wishes.port} is no port.", "Give 1 to 65535, or 0 for a free one."))
    if (wishes.cert is None) != (wishes.key is None):
        faults.append(Fault("--cert", "and --key go together.", "Give both files for https, or none."))
    token = os.environ.get(TOKEN) or secrets.token_urlsafe(24)
    if len(token) < SHORTEST or not token.isascii():
        faults.append(
            Fault(
                TOKEN, f"is shorter than {SHORTEST} characters or not ASCII.", "Unset it to get a random one."
            )
        )
    if faults:
        raise ConfigError(faults)
    return token


def _tls(wishes: Wishes) -> ssl.SSLContext | None:
    import ssl

    if wishes.cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(wishes.cert, wishes.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            [Fault("--cert", f"{wishes.cert} with {wishes.key} cannot be used: {error}.")]
        ) from error
    return context


def _store(given: str) -> RatingStore:
    """The store at a path or a URL, which must be there: a new empty one would only hide a wrong path."""
    import sqlalchemy as sa

    from sftkit.ratings import RatingStore

    url = given if "://" in given else Path(given).expanduser()
    place = url if isinstance(url, Path) else _database(url)
    if place is not None and not place.is_file():
        raise StoreError(
            f"There is no rating store at {place}. Give the file or the address that the notebook's RatingStore has, "
            "e.g. ratings.db or postgresql://…"
        )
    try:
        return RatingStore(url)
    except sa.exc.ArgumentError as error:
        raise StoreError(f"{given!r} is no database URL: {error}") from error


def _database(url: str) -> Path | None:
    """The file of an SQLite store."""
    import sqlalchemy as sa

    try:
        parts = sa.make_url(url)
    except sa.exc.ArgumentError:
        return None
    return Path(parts.database) if parts.get_backend_name() == "sqlite" and parts.database else None


def _desk(wishes: Wishes, store: RatingStore, project: Any, token: str) -> Desk:
    from sftkit.widgets.grid import ComparisonGrid
    from sftkit.widgets.rate_seats import Seats
    from sftkit.widgets.rate_server import Desk

    show = "after_vote" if wishes.show_judge else "never"
    project.answers = functools.cache(project.answers)  # one copy of the texts, however many rate

    def make(rater: str, lang: str) -> ComparisonGrid:
        return ComparisonGrid(store=store, rater=rater, project=project, lang=lang, show_judge=show)

    return Desk(project.name, Seats(make), token, wishes.raters, wishes.lang, secure=wishes.cert is not None)


def _sockets(wishes: Wishes) -> list[socket.socket]:
    """Listening ones. ConfigError when the port is taken or the host is none of this machine's."""
    from tornado.netutil import bind_sockets

    ports: Sequence[int] = [PORT, 0] if wishes.port is None else [wishes.port]
    for port in ports:
        try:
            family = socket.AF_INET6 if ":" in wishes.host else socket.AF_INET
            return bind_sockets(port, wishes.host, family)
        except OSError as error:
            failure = error
    fix = (
        "Give another --port, or leave it out." if wishes.port else "Give --host an address of this machine."
    )
    raise ConfigError(
        [Fault("--port", f"{wishes.host}:{ports[-1]} cannot be listened on: {failure.strerror}.", fix)]
    )


def _link(wishes: Wishes, desk: Desk) -> str:
    host = _outward() if wishes.host in ("0.0.0.0", "::") else wishes.host
    host = f"[{host}]" if ":" in host else host
    return f"http{'s' if desk.secure else ''}://{host}:{desk.port}/?token={desk.token}"


def _outward() -> str:
    """The address by which others most likely reach this machine: that of its route to elsewhere, else its name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(
                ("192.0.2.1", 9)
            )  # an address of documentation; a datagram socket sends nothing by this
            return probe.getsockname()[0]
        except OSError:
            return socket.gethostname()


def _open(link: str) -> Path:
    """Show the link in this machine's browser, by a file that is ours alone: other users see what processes are called with."""
    import tempfile
    import webbrowser

    with tempfile.NamedTemporaryFile("w", prefix="sftkit-rate-", suffix=".html", delete=False) as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(link)}">')
    webbrowser.open(Path(file.name).as_uri())
    return Path(file.name)


def _reach(wishes: Wishes, desk: Desk) -> list[str]:
    """Who can open the link, and what they can do."""
    if wishes.host in LOCAL:
        lines = [
            f"Only browsers on this machine reach it. For others, over ssh: ssh -L {desk.port}:127.0.0.1:{desk.port} HOST"
        ]
    else:
        lines = [
            f"Whoever has this link and reaches port {desk.port} of this machine can rate: the link is a password."
        ]
        if not desk.secure:
            lines.append(
                "Warning: plain http. Anyone on the network between can read the link, the prompts and the answers. "
                "Use a network that you trust, an ssh tunnel, or --cert and --key for https."
            )
    if not os.environ.get(TOKEN):
        lines.append(f"A new start makes a new link, unless {TOKEN} holds a token of your own (see --help).")
    return [
        *lines,
        "They see this project's prompts and answers, never a model's name, and nothing else of this machine.",
        "Ctrl-C ends it. Every vote is on disk before the next prompt shows.",
    ]


async def _until_stopped(desk: Desk, sockets: list[socket.socket], tls: ssl.SSLContext | None) -> None:
    import asyncio

    from sftkit.widgets.rate_server import listen

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = listen(desk, sockets, tls)
    await stop.wait()
    server.stop()
    await server.close_all_connections()
    desk.threads.shutdown()
