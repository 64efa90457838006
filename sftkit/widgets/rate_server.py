"""The grid alone in a browser, for raters who write no code: what `sftkit rate` serves.

Three pages (name, grid, refusal), four files of the bundle, one websocket that speaks the grid's protocol. No kernel,
no files, no terminal, no notebook stand behind it.

Why not Voilà (0.5.13; BSD-3, installs beside us; tried twice, its source read): it drops execute_request, and that is good,
but a rater's browser still speaks to a kernel.
- What its websocket lets through (comm_open, comm_msg, comm_close, comm_info_request) is enough to make any ipywidget in
  that kernel and to set any synced trait of any widget there: more than the grid's eleven questions, and none of it checked.
- It took a websocket whose Origin was another site's.
- A message that fails is answered with a traceback, or on stderr, which names paths of this machine and may name a model.
- Each rater costs a Python process, which holds the store's address and its password.
Here a rater reaches nothing but `ComparisonGrid._receive`, through a list of what may be said; one process serves all, and
the page is there in a second.

The doors: a token in the link, once, then a signed cookie (HttpOnly, SameSite=Lax, so that a link in a mail works);
forms and the websocket only from this origin; a policy by which the page loads nothing from elsewhere and runs no
inline script; limits on the size of everything and on the number of pages.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
import unicodedata
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from tornado import httpserver, iostream, web, websocket

from sftkit.widgets.labels import LANGUAGES, label, language
from sftkit.widgets.rate_seats import Refused, Seat, Seats, spoken

STATIC = Path(__file__).parent / "static"
FILES = r"/(rate\.js|rate\.css|grid\.js|grid\.css)"
PAGES = 300  # open at once, of all raters
LONGEST = 256 * 1024  # bytes of one message
BODY = 4 * 1024  # bytes of a form
UNREAD = 200  # messages that a page may leave unread before it is closed
NAME = 64  # characters
POLICY = (
    "default-src 'none'; script-src 'self' blob:; style-src 'self'; connect-src 'self'; img-src data:; font-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" a browser names no origin for a form
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "sftkit",
}
_log = logging.getLogger(__name__)


@dataclass
class Desk:
    """What is served: the seats, to whom. raters: the only names that may rate; empty: any name. port: in the name of
    the cookie, because a browser keeps one jar for all ports of a host."""

    project: str
    seats: Seats
    token: str
    raters: Collection[str] = ()
    lang: str | None = None
    port: int = 0
    secure: bool = False
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "rate"))


def application(desk: Desk) -> web.Application:
    """The server's doors, all of them."""
    secret = hashlib.sha256(b"sftkit rate cookie " + desk.token.encode()).hexdigest()
    routes = [
        (r"/", Entrance, {"desk": desk}),
        (r"/here", Here, {"desk": desk}),
        (r"/socket", Socket, {"desk": desk}),
        (FILES, Bundle, {"path": str(STATIC)}),
    ]
    return web.Application(
        routes,
        default_handler_class=Nothing,
        default_handler_args={"desk": desk},
        cookie_secret=secret,
        template_path=str(Path(__file__).parent),
        compress_response=True,
        websocket_max_message_size=LONGEST,
        websocket_ping_interval=20,
        log_function=lambda handler: None,  # a line of a log would hold the token
    )


def listen(desk: Desk, sockets: list[Any], ssl: Any = None) -> httpserver.HTTPServer:
    """Begin to serve on these sockets, in the running event loop."""
    server = httpserver.HTTPServer(
        application(desk),
        ssl_options=ssl,
        max_header_size=16 * 1024,
        max_body_size=BODY,
        idle_connection_timeout=120,
        body_timeout=15,
    )
    server.add_sockets(sockets)
    return server


def fit_name(name: str) -> str | None:
    """The rater's name as it is stored; None when it is none."""
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not 0 < len(name) <= NAME or any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn") for c in name
    ):
        return None
    return name if re.search(r"\w", name) and ":" not in name else None  # "judge:…" would be no person


class Guarded:
    """What all doors share: headers, who is there, and nothing said about what went wrong inside."""

    desk: Desk

    def initialize(self, desk: Desk) -> None:
        self.desk = desk

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    @property
    def _cookie(self) -> str:
        return f"sftkit-rate-{self.desk.port}"

    @property
    def entered(self) -> bool:
        """Whether this browser came by the link. The signature is compared in constant time."""
        return self.get_signed_cookie(self._cookie) == b"entered"

    @property
    def rater(self) -> str | None:
        """The name given before, if it may still rate."""
        desk = self.desk
        if len(desk.raters) == 1:
            return next(iter(desk.raters))
        name = fit_name(unquote(self.get_cookie("sftkit-rate-name", "")))
        return name if name and (not desk.raters or name in desk.raters) else None

    @property
    def lang(self) -> str:
        chosen = self.get_cookie("sftkit-rate-lang", "")
        return chosen if chosen in LANGUAGES else self.desk.lang or language()

    @property
    def same_origin(self) -> bool:
        """A browser says where a form was sent from; no other page may send ours."""
        origin = self.request.headers.get("Origin")
        return origin is not None and urlsplit(origin).netloc.casefold() == self.request.host.casefold()

    def keep(self, name: str, value: str, days: int | None = 365) -> None:
        self.set_cookie(
            name, value, expires_days=days, httponly=True, samesite="Lax", secure=self.desk.secure
        )

    def page(self, state: str, status: int = 200, **more: Any) -> None:
        """One of the pages of rate.html."""
        lang = self.lang
        words = {
            "project": self.desk.project,
            "names": sorted(self.desk.raters),
            "rater": self.rater,
            "longest": NAME,
        }
        words |= {
            "fault": "",
            "given": "",
            "state": state,
            "lang": lang,
            "languages": {"en": "English", "zh": "中文"},
        }
        self.set_status(status)
        self.render(
            "rate.html", _=lambda key, **values: label(f"rate.{key}", lang, **values), **(words | more)
        )

    def write_error(self, status_code: int, **_: Any) -> None:
        state = "refused" if status_code == 403 else "nothing" if status_code in (404, 405) else "broken"
        self.page(state, status_code)

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        if not isinstance(value, web.HTTPError):
            _log.error("%s of %s", self.request.method, self.request.path, exc_info=(kind, value, trace))


class Entrance(Guarded, web.RequestHandler):
    """The page: who are you, then the grid. With ?token=… it sets the cookie and comes back without the token."""

    def get(self) -> None:
        token = self.get_query_argument("token", None)
        if token is not None and hmac.compare_digest(token.encode(), self.desk.token.encode()):
            self.set_signed_cookie(
                self._cookie,
                "entered",
                expires_days=30,
                httponly=True,
                samesite="Lax",
                secure=self.desk.secure,
            )
            return self.redirect("./", status=303)
        if not self.entered:
            raise web.HTTPError(403)
        self.page("grid" if self.rater else "name")

    def post(self) -> None:
        """A name, a language, or "not me"."""
        if not (self.entered and self.same_origin):
            raise web.HTTPError(403)
        if (lang := self.get_body_argument("lang", None)) in LANGUAGES:
            self.keep("sftkit-rate-lang", lang)
        if self.get_body_argument("leave", None) is not None:
            self.clear_cookie("sftkit-rate-name")
            if self.rater:
                self.desk.threads.submit(self.desk.seats.give_back, self.rater)
        elif (given := self.get_body_argument("name", None)) is not None:
            name = fit_name(given)
            if name is None or (self.desk.raters and name not in self.desk.raters):
                return self.page("name", 400, fault="bad_name", given=given)
            self.keep("sftkit-rate-name", quote(name, safe=""))
        self.redirect("./", status=303)


class Here(Guarded, web.RequestHandler):
    """Whether the server is there and this browser may enter: asked by a page that lost its connection."""

    def get(self) -> None:
        self.set_status(204 if self.entered else 403)


class Nothing(Guarded, web.RequestHandler):
    """Every other address."""

    def prepare(self) -> None:
        raise web.HTTPError(404)


class Bundle(web.StaticFileHandler):
    """The four files of the page."""

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def get_cache_time(self, *_: Any) -> int:
        return 0

    def set_extra_headers(self, path: str) -> None:
        self.set_header(
            "Cache-Control", "no-cache"
        )  # asked again each time, sent again only when it has changed


class Socket(Guarded, websocket.WebSocketHandler):
    """A page's line to its rater's grid."""

    seat: Seat | None = None
    _who: tuple[str, str] | None = None

    async def get(self, *args: Any, **kwargs: Any) -> None:
        if not (self.entered and self.rater and self.same_origin):
            raise web.HTTPError(403)
        if len(self.desk.seats) >= PAGES:
            raise web.HTTPError(503)
        await super().get(*args, **kwargs)

    def check_origin(self, origin: str) -> bool:
        return self.same_origin

    async def open(self, *_: Any) -> None:
        self._loop, self._unread = asyncio.get_running_loop(), 0
        self._who = who = (self.rater, self.lang)
        try:
            self.seat = await self._loop.run_in_executor(self.desk.threads, self.desk.seats.take, *who, self)
        except Exception as error:  # the store is gone, or the project
            _log.error("%s could not sit down: %s", who[0], error)
            return self.close(1011, "failed")
        if self.ws_connection is None:  # gone already, perhaps before it sat down
            return self.on_close()
        self.tell(json.dumps({"traits": {"_labels": self.seat.labels()}}, ensure_ascii=False))
        _log.info("%s is here", who[0])

    async def on_message(self, message: str | bytes) -> None:
        """The next one is read when this one is answered."""
        try:
            content = spoken(message)
        except Refused as error:
            _log.warning("%s sent %s; the page was closed", self._who and self._who[0], error)
            return self.close(1008, "not of the protocol")
        if self.seat is not None:
            await self._loop.run_in_executor(self.desk.threads, self.seat.ask, content)

    def tell(self, text: str) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(lambda: self._loop.create_task(self._write(text)))

    async def _write(self, text: str) -> None:
        if self._unread > UNREAD:
            return self.close(1013, "too slow")
        self._unread += 1
        try:
            await self.write_message(text)
        except (websocket.WebSocketClosedError, iostream.StreamClosedError):
            pass
        finally:
            self._unread -= 1

    def on_close(self) -> None:
        if self._who is not None:
            self.desk.threads.submit(self.desk.seats.leave, *self._who, self)
            _log.info("%s left", self._who[0])
