"""One call to an OpenAI-compatible endpoint: what is sent, what came back, and what kind of failure it was.

An endpoint that knows no strict JSON schema is asked for a tool call, then for a JSON object, then plainly; one that
refuses log-probabilities, a temperature or a seed is asked without. Its own 400 says so, once a run.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from sftkit.judging.request import Request

FORMS = ("json_schema", "tools", "json_object", "plain")
OPTIONS = ("logprobs", "temperature", "seed")
NO_KEY = "none"  # sent to a base_url that asks for no key
A_POOL = 16  # connections a client; it looks at all of its own at every request
KEPT = 10_000  # characters of a reply that is no chat completion
TRY_AGAIN = {"rate_limit", "http_5xx", "timeout", "network"}
_SPOKEN_OF = {
    "json_schema": ("response_format", "json_schema", "schema", "structured", "guided"),
    "tools": ("tool", "function"),
    "json_object": ("response_format", "json_object", "json mode"),
}


class Failure(Exception):
    """A call without a reply. reason: rate_limit, http_4xx, http_5xx, timeout or network. retry_after in seconds."""

    def __init__(self, reason: str, message: str, retry_after: float | None = None, fatal: bool = False):
        self.reason, self.retry_after, self.fatal = reason, retry_after, fatal
        super().__init__(message)


@dataclass(frozen=True)
class Reply:
    """What came back. fault: (reason, words) where it holds no answer: refusal, cut, empty, no_choices."""

    text: str | None
    fault: tuple[str, str] | None
    served_by: str
    fingerprint: str | None
    form: str
    tokens_in: int | None
    tokens_cached: int | None
    tokens_out: int | None
    logprobs: list[dict[str, Any]] | None


class Endpoint:
    """The model at one address, for one run. `form` and `dropped` are what was learnt of it on the way."""

    def __init__(
        self, model: str, base_url: str | None, key: str, timeout: float, logprobs: bool, at_once: int = 1
    ):
        from openai import AsyncOpenAI

        self.model, self.base_url, self._key = model, base_url, key
        self.form = FORMS[0]
        self.dropped: set[str] = set() if logprobs else {"logprobs"}
        options = {"api_key": key, "base_url": base_url, "timeout": timeout, "max_retries": 0}
        self._clients = [AsyncOpenAI(**options) for _ in range(-(-at_once // A_POOL))]
        self._url = (
            f"{self._clients[0].base_url}chat/completions"  # whole, or the client joins it at every call
        )
        self._turn = 0

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    async def ask(self, request: Request) -> Reply:
        """One try. Raises Failure."""
        while True:
            form, dropped = self.form, set(self.dropped)
            try:
                body = await self._post(self._body(request, form, dropped))
                return _reply(body, form)
            except Failure as failure:
                if not self._learnt(failure, form, dropped):
                    raise

    def _body(self, request: Request, form: str, dropped: set[str]) -> dict[str, Any]:
        settings = {
            name: value for name, value in request.settings if value is not None and name not in dropped
        }
        body: dict[str, Any] = {"messages": request.messages(), **_form(request, form)} | settings
        body["model"] = self.model
        for extra in [
            name for name in body if name not in _SENT
        ]:  # ours, not the endpoint's: the number of a repeat
            del body[extra]
        if form in ("json_object", "plain"):  # the schema is told, since it cannot be enforced
            told = f"\n\nReply with one JSON object and nothing else. It must fit this JSON schema:\n{json.dumps(request.schema)}"
            body["messages"][0] = {
                **body["messages"][0],
                "content": body["messages"][0]["content"].rstrip() + told,
            }
        if "logprobs" not in dropped and request.shape is not None and request.shape.mode == "pairwise":
            body |= {"logprobs": True, "top_logprobs": 5}
        return body

    async def _post(self, body: dict[str, Any]) -> Any:
        import openai

        try:
            client = self._clients[self._turn % len(self._clients)]
            self._turn += 1
            # not chat.completions.create: it walks through the whole body, which goes out as it is all the same
            raw = await client.post(self._url, cast_to=openai.HttpxBinaryResponseContent, body=body)
            return json.loads(raw.content)
        except openai.APITimeoutError as error:
            raise Failure("timeout", self.told(error)) from None
        except openai.APIConnectionError as error:
            raise Failure("network", self.told(error)) from None
        except openai.APIStatusError as error:
            raise self._status(error) from None
        except (openai.OpenAIError, ValueError, RecursionError) as error:  # 200, and no JSON
            raise Failure("network", self.told(error)) from None

    def _status(self, error: Any) -> Failure:
        code, words = error.status_code, self.told(error)
        if code == 429 and getattr(error, "code", None) != "insufficient_quota":
            return Failure("rate_limit", words, _retry_after(error.response.headers))
        if code >= 500 or code in (408, 409):
            return Failure("http_5xx", words, _retry_after(error.response.headers))
        return Failure("http_4xx", words, fatal=code in (401, 402, 403, 404, 429))

    def _learnt(self, failure: Failure, form: str, dropped: set[str]) -> bool:
        """Whether a 400 says that the endpoint does not know a form or an option, so that asking otherwise may help."""
        words = str(failure).casefold()
        if failure.reason != "http_4xx" or failure.fatal or "context length" in words:
            return False
        if (form, dropped) != (self.form, self.dropped):
            return True  # another call has learnt it meanwhile
        if named := next((name for name in OPTIONS if name not in dropped and name in words), None):
            self.dropped.add(named)
            return True
        if any(word in words for word in _SPOKEN_OF.get(form, ())):
            self.form = FORMS[FORMS.index(form) + 1]
            return True
        return False

    def told(self, error: Exception) -> str:
        """An endpoint's words without the key, should they repeat it."""
        text = f"{type(error).__name__}: {error}"
        return (text if self._key == NO_KEY else text.replace(self._key, "***"))[:2000]


_SENT = {"model", "messages", "response_format", "tools", "tool_choice", "temperature", "seed"}


def _form(request: Request, form: str) -> dict[str, Any]:
    name = "verdict" if request.shape else "questions"
    if form == "json_schema":
        wanted = {"name": name, "strict": True, "schema": request.schema}
        return {"response_format": {"type": "json_schema", "json_schema": wanted}}
    if form == "tools":
        tool = {
            "name": name,
            "description": "Hand in the result.",
            "parameters": request.schema,
            "strict": True,
        }
        chosen = {"type": "function", "function": {"name": name}}
        return {"tools": [{"type": "function", "function": tool}], "tool_choice": chosen}
    return {"response_format": {"type": "json_object"}} if form == "json_object" else {}


def _reply(body: Any, form: str) -> Reply:
    """The reply in a chat completion; an endpoint may send anything."""
    whole = body if isinstance(body, dict) else {}
    usage = whole.get("usage") if isinstance(whole.get("usage"), dict) else {}
    cached = usage.get("prompt_tokens_details")
    text, fault, logprobs = _content(whole, body)
    return Reply(
        text=text,
        fault=fault,
        served_by=str(whole.get("model")),
        fingerprint=whole["system_fingerprint"] if isinstance(whole.get("system_fingerprint"), str) else None,
        form=form,
        tokens_in=_count(usage.get("prompt_tokens")),
        tokens_cached=_count(cached.get("cached_tokens")) if isinstance(cached, dict) else None,
        tokens_out=_count(usage.get("completion_tokens")),
        logprobs=logprobs,
    )


def _content(
    whole: dict[str, Any], body: Any
) -> tuple[str | None, tuple[str, str] | None, list[dict] | None]:
    """(text, fault, logprobs) of the first choice."""
    try:
        choice = whole["choices"][0]
        message = choice["message"]
        calls = message.get("tool_calls")
        text = calls[0]["function"]["arguments"] if calls else message.get("content")
    except (AttributeError, IndexError, KeyError, TypeError):
        return str(body)[:KEPT], ("no_choices", "the reply is no chat completion"), None
    text = text if isinstance(text, str) else None
    if message.get("refusal"):
        return text or str(message["refusal"]), ("refusal", f"the judge refused: {message['refusal']}"), None
    finish = choice.get("finish_reason")
    if finish == "content_filter":
        return text, ("refusal", "the endpoint's filter withheld the reply"), None
    if finish not in ("stop", "tool_calls", None):
        return text, ("cut", f"the reply did not end by itself (finish_reason {finish!r})"), None
    found = None
    with contextlib.suppress(AttributeError, KeyError, TypeError):
        found = choice["logprobs"]["content"]
    return text, None if text else ("empty", "the reply is empty"), found if isinstance(found, list) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _retry_after(headers: Any) -> float | None:
    """Seconds to wait, as the endpoint asks; None where it does not say."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with contextlib.suppress(TypeError, ValueError):
            if (seconds := float(headers.get(name)) * scale) >= 0:
                return seconds
    with contextlib.suppress(TypeError, ValueError):  # the header may name a date (RFC 9110, section 10.2.3)
        return max(0.0, parsedate_to_datetime(headers.get("retry-after")).timestamp() - time.time())
    return None
