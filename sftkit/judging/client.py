"""The judge over any OpenAI-compatible endpoint: every pair in both orders, each reply stored the moment it arrives.

judge = Judge("gpt-4.1")                          # key from OPENAI_API_KEY
print(judge.estimate(answers))                    # calls and tokens, before anything is spent
judge.rate(answers, store=RatingStore("sqlite:///ratings.db"))
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sftkit.errors import JudgeError
from sftkit.judging.request import Request, build_request
from sftkit.judging.rubric import PROTOCOL
from sftkit.judging.verdict import Unscorable, read_verdict
from sftkit.ratings.dimensions import DIMENSIONS, Dimension
from sftkit.ratings.rating import Rating

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.generation.table import Generations
    from sftkit.ratings.store import RatingStore

SCORED = ("a", "b", "tie")
GIVE_UP = 10  # calls refused by the endpoint, none answered: it will not get better
NO_KEY = "none"  # sent to a base_url that asks for no key


@dataclass(frozen=True)
class CostEstimate:
    """What a run of the judge will take. Tokens are rough (4 characters each, or 1 for scripts like Chinese)."""

    calls: int
    tokens_in: int
    tokens_out: int
    dollars: float | None = None
    note: str = "no price is known here: see the price list of your endpoint"

    def __str__(self) -> str:
        dollars = f"${self.dollars:.2f}" if self.dollars is not None else self.note
        return (
            f"{self.calls} calls, about {self.tokens_in:,} tokens in and {self.tokens_out:,} out; {dollars}"
        )


@dataclass(frozen=True)
class _Call:
    """One comparison in one order."""

    prompt_id: str
    model_a: str
    model_b: str
    shown_first: str
    request: Request

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.request.hash, self.prompt_id, self.model_a, self.model_b, self.shown_first)


class Judge:
    """A language model as a rater, `judge:<model>/pairwise-v1`. Its verdicts are stored as a human's are.

    model: name at the endpoint. base_url: any OpenAI-compatible one (vLLM, a local server); None is OpenAI's own, or
    OPENAI_BASE_URL. The key is read from the environment variable `api_key_env` at each run and kept nowhere.
    temperature None sends none (some models refuse it). timeout in seconds a try; max_retries for 429, 5xx, timeouts
    and lost connections, with the openai client's backoff.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        temperature: float | None = 0.0,
        max_concurrency: int = 8,
        timeout: float = 60.0,
        max_retries: int = 5,
        dimensions: Sequence[Dimension] = DIMENSIONS,
    ):
        if not model or max_concurrency < 1 or timeout <= 0 or max_retries < 0 or not dimensions:
            raise JudgeError(
                "a judge needs a model's name, max_concurrency of 1 or more, a timeout above 0, max_retries of 0 or "
                "more, and a dimension to score"
            )
        self.model = model
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        self.api_key_env = api_key_env
        self.temperature = temperature
        self.max_concurrency = max_concurrency
        self.timeout = timeout
        self.max_retries = max_retries
        self.dimensions = list(dimensions)

    @property
    def rater(self) -> str:
        return f"judge:{self.model}/{PROTOCOL}"

    def __repr__(self) -> str:
        return f"Judge({self.model!r}, base_url={self.base_url!r}, api_key_env={self.api_key_env!r})"

    def estimate(
        self, answers: Generations, store: RatingStore | None = None, limit: int | None = None
    ) -> CostEstimate:
        """What `rate` with the same arguments would take; calls already in the store cost nothing."""
        calls = self._unpaid(list(self._calls(answers, limit)), store)
        form = _tokens(str(calls[0].request.response_format)) if calls else 0
        tokens = sum(form + _tokens(m["content"]) for call in calls for m in call.request.messages[1:])
        system = _tokens(calls[0].request.messages[0]["content"]) if calls else 0
        out = 20 + 60 * len(self.dimensions)  # two quotes of 20 words and two scores a dimension
        return CostEstimate(len(calls), tokens + system * len(calls), out * len(calls))

    def rate(
        self,
        answers: Generations,
        store: RatingStore | None = None,
        limit: int | None = None,
        progress: bool = True,
    ) -> pd.DataFrame:
        """Compare every model with the first on every prompt (the first `limit`), in both orders.

        Each reply is in the store before the next is waited for, so an interrupt or a crash loses only calls under
        way, and the next `rate` goes on from there without paying twice. A call that fails is `unscored` with its
        reason and asked again by the next `rate`. Without a store the ratings are kept in memory only.

        Returns the store's rows of this judge for these comparisons. Raises JudgeError when the judge cannot work at
        all: no key, refused key, unknown model, an endpoint that never answers.
        """
        import pandas as pd
        from tqdm.auto import tqdm

        from sftkit.ratings.store import RatingStore

        if len(answers.models) < 2:
            raise JudgeError(
                f"a comparison needs two models; these answers are of: {', '.join(answers.models)}"
            )
        key = self._key()
        store = store if store is not None else RatingStore("sqlite://")
        store.register(answers)
        calls = list(self._calls(answers, limit))
        if unpaid := self._unpaid(calls, store):
            # the bar is made here: a notebook shows what its own thread displays
            with tqdm(total=len(unpaid), unit="call", desc=self.rater, disable=not progress) as bar:
                run_apart(self._ask_all(unpaid, store, key, bar))
        wanted = {(call.prompt_id, call.model_a, call.model_b) for call in calls}
        frame = store.frame(self.rater)
        comparisons = zip(frame["prompt_id"], frame["model_a"], frame["model_b"])
        mine = pd.Series([row in wanted for row in comparisons], index=frame.index, dtype=bool)
        return frame[mine & frame["current"]].reset_index(drop=True)

    def _key(self) -> str:
        key = os.environ.get(self.api_key_env)
        if not key and not self.base_url:
            raise JudgeError(
                f"no key for {self.model}: set the environment variable {self.api_key_env} (never in the notebook), or "
                "name a base_url that needs none, or use the offline ReferenceJudge(), which checks references"
            )
        return key or NO_KEY

    def _calls(self, answers: Generations, limit: int | None) -> Iterator[_Call]:
        settings = {"model": self.model, "temperature": self.temperature}
        pairs = answers.pairs()
        if limit is not None:
            pairs = pairs[pairs["prompt_id"].isin(answers.prompts["prompt_id"].head(limit))]
        for row in pairs.itertuples():
            for first, shown in (
                ("a", (row.response_a, row.response_b)),
                ("b", (row.response_b, row.response_a)),
            ):
                request = build_request(row.prompt, row.reference, *shown, self.dimensions, settings)
                yield _Call(row.prompt_id, row.model_a, row.model_b, first, request)

    def _unpaid(self, calls: list[_Call], store: RatingStore | None) -> list[_Call]:
        """The calls whose verdict is not in the store yet."""
        if store is None:
            return calls
        frame = store.frame(self.rater)
        frame = frame[frame["verdict"].isin(SCORED) & frame["request_hash"].notna()]
        names = ["request_hash", "prompt_id", "model_a", "model_b", "shown_first"]
        paid = set(frame[names].itertuples(index=False, name=None))
        return [call for call in calls if call.identity not in paid]

    async def _ask_all(self, calls: list[_Call], store: RatingStore, key: str, bar: Any) -> None:
        from openai import AsyncOpenAI

        queue = iter(calls)
        refused: list[str] = []
        answered = 0
        client = AsyncOpenAI(
            api_key=key, base_url=self.base_url, timeout=self.timeout, max_retries=self.max_retries
        )

        async def work() -> None:
            nonlocal answered
            for call in queue:  # shared by all workers, which take turns in one thread
                rating, refusal = await self._ask(client, call, key)
                # shielded: a reply that was paid for is stored even when an interrupt comes right now
                await asyncio.shield(asyncio.to_thread(store.add, rating))
                bar.update()
                answered += refusal is None
                if refusal is not None:
                    refused.append(refusal)
                    if not answered and len(refused) >= GIVE_UP:
                        raise JudgeError(
                            f"{len(refused)} calls to {self.base_url or 'OpenAI'} failed and none was answered. The last: {refusal}"
                        )

        async with client:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.max_concurrency, len(calls))):
                        group.create_task(work())
            except BaseExceptionGroup as group:  # the first worker's error says it; the others were cancelled
                raise group.exceptions[0] from None

    async def _ask(self, client: Any, call: _Call, key: str) -> tuple[Rating, str | None]:
        """The rating of one call, and how the endpoint refused it (None when it answered)."""
        import openai

        started = time.monotonic()
        try:
            options = {} if self.temperature is None else {"temperature": self.temperature}
            reply = await client.chat.completions.create(
                model=self.model,
                messages=call.request.messages,
                response_format=call.request.response_format,
                **options,
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise JudgeError(f"{self!r}: {_told(error, key)}") from None
        except openai.OpenAIError as error:
            reason = _told(error, key)
            return self._rating(
                call, started, verdict="unscored", reason=f"the endpoint failed: {reason}"
            ), reason
        return self._read(call, started, reply), None

    def _read(self, call: _Call, started: float, reply: Any) -> Rating:
        """The rating that a reply holds; whatever is wrong with the reply, it is kept and the call is unscored."""
        content, fault = _content(reply)
        usage = getattr(reply, "usage", None)
        kept = {
            "raw_reply": content,
            "tokens_in": _count(getattr(usage, "prompt_tokens", None)),
            "tokens_out": _count(getattr(usage, "completion_tokens", None)),
        }
        served = {"served_by": str(getattr(reply, "model", None))}
        try:
            if fault:
                raise Unscorable(fault)
            verdict = read_verdict(content, call.shown_first, self.dimensions)
        except Unscorable as error:
            return self._rating(call, started, verdict="unscored", reason=str(error), evidence=served, **kept)
        evidence = served | {"quotes": verdict.quotes}
        # a request under way in two processes at once is stored once
        kept["key"] = ":".join((self.rater, *call.identity))
        return self._rating(
            call, started, verdict=verdict.verdict, scores=verdict.scores, evidence=evidence, **kept
        )

    def _rating(self, call: _Call, started: float, **said: Any) -> Rating:
        return Rating(
            rater=self.rater,
            prompt_id=call.prompt_id,
            model_a=call.model_a,
            model_b=call.model_b,
            shown_first=call.shown_first,
            seconds=round(time.monotonic() - started, 3),
            request_hash=call.request.hash,
            **said,
        )


def _content(reply: Any) -> tuple[str | None, str | None]:
    """(text, fault) of a chat completion; an endpoint may send anything."""
    try:
        choice = reply.choices[0]
        message = choice.message
    except (AttributeError, IndexError, TypeError):
        return str(reply)[:10_000], "the reply is no chat completion"
    text = message.content if isinstance(message.content, str) else None
    if getattr(message, "refusal", None):
        return text or str(message.refusal), f"the judge refused: {message.refusal}"
    if choice.finish_reason not in ("stop", None):
        return text, f"the reply did not end by itself (finish_reason {choice.finish_reason!r})"
    return text, None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _told(error: Exception, key: str) -> str:
    """An endpoint's words without the key, should they repeat it."""
    text = f"{type(error).__name__}: {error}"
    return (text if key == NO_KEY else text.replace(key, "***"))[:2000]


def _tokens(text: str) -> int:
    """About how many tokens: 4 ASCII characters make one, any other character is one."""
    ascii_count = sum(c.isascii() for c in text)
    return ascii_count // 4 + len(text) - ascii_count


def run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a thread with a loop of its own: in Jupyter the main thread's loop is already running.

    An interrupt cancels it and is raised again once its tasks have ended.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sftkit-judge", daemon=True)
    future = None
    try:
        thread.start()
        future = asyncio.run_coroutine_threadsafe(work, loop)
        future.result()
    finally:
        if future is not None:
            future.cancel()
        asyncio.run_coroutine_threadsafe(_drain(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _drain() -> None:
    """Wait until every other task of this loop has ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
