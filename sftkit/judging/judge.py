"""The judge over any OpenAI-compatible endpoint: every pair in both orders, each reply stored the moment it arrives.

judge = Judge("gpt-4.1")                          # key from OPENAI_API_KEY
print(judge.estimate(answers))                    # calls, tokens, dollars, minutes, before anything is spent
judge.rate(answers, store=RatingStore("sqlite:///ratings.db"))
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sftkit.errors import JudgeError
from sftkit.judging import canaries, ledger
from sftkit.judging.apart import heap_at_rest, run_apart
from sftkit.judging.asking import Asking, Progress
from sftkit.judging.endpoint import NO_KEY, Endpoint, Failure, Reply
from sftkit.judging.money import SECONDS, CostEstimate, Price, price_of, smallest_difference
from sftkit.judging.pacing import Pace
from sftkit.judging.plan import Call, Plan
from sftkit.judging.probability import probabilities
from sftkit.judging.protocol import Protocol
from sftkit.judging.verdict import Unscorable, read_questions, read_verdict
from sftkit.ratings.rating import Rating
from sftkit.wording import shown_address

if TYPE_CHECKING:
    import pandas as pd

    from sftkit.generation.table import Generations
    from sftkit.judging.exam_result import Exam
    from sftkit.ratings.store import RatingStore

DEFAULT = Protocol()


class Judge:
    """A language model as a rater, `judge:<model>/<protocol>`. Its verdicts are stored as a human's are.

    model: name at the endpoint; name a dated snapshot to be able to repeat the run. base_url: any OpenAI-compatible
    one (vLLM, Azure's /openai/v1/, a local server); None is OpenAI's own, or OPENAI_BASE_URL. The key is read from the
    environment variable `api_key_env` at each run and kept nowhere. protocol: the rules; any of them can be given as a
    keyword too, Judge("gpt-4.1", both_orders=False). max_concurrency: calls at once, at most; fewer where the endpoint
    says 429 too often. timeout: seconds a try. max_retries: after 429, 5xx, timeouts and lost connections.
    requests_per_minute, tokens_per_minute: limits to keep. prices: a price file or {model: {"input": …, "output": …}}
    in dollars a million tokens, before the user's file and ours (see money.price_of).

    Raises JudgeError and, for rules, ConfigError.

        judge = sk.Judge("gpt-4.1")
        judge.estimate(answers, store)              # calls, tokens, dollars, minutes; nothing is asked yet
        judge.rate(answers, store=store)
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        protocol: Protocol = DEFAULT,
        max_concurrency: int = 16,
        timeout: float = 60.0,
        max_retries: int = 5,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        prices: str | os.PathLike[str] | Mapping[str, Mapping[str, float]] | None = None,
        **rules: Any,
    ):
        limits = [limit for limit in (requests_per_minute, tokens_per_minute) if limit is not None]
        if not model or max_concurrency < 1 or timeout <= 0 or max_retries < 0 or any(n <= 0 for n in limits):
            raise JudgeError(
                "a judge needs a model's name, max_concurrency of 1 or more, a timeout above 0, max_retries of 0 or "
                "more, and limits a minute above 0"
            )
        self.model = model
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        self.api_key_env = api_key_env
        self.protocol = protocol.with_rules(**rules) if rules else protocol
        self.max_concurrency, self.timeout, self.max_retries = max_concurrency, timeout, max_retries
        self.requests_per_minute, self.tokens_per_minute = requests_per_minute, tokens_per_minute
        self.prices = prices
        self.progress = Progress()
        self._asking: Asking | None = None
        self._price: Price | None = None

    @property
    def rater(self) -> str:
        """The name its verdicts are stored under."""
        return f"judge:{self.model}/{self.protocol.name}"

    @property
    def price(self) -> Price | None:
        """Dollars a million tokens, and where that comes from; None where no price is known."""
        return price_of(self.model, self.prices)

    def __repr__(self) -> str:
        return f"Judge({self.model!r}, base_url={self.base_url and shown_address(self.base_url)!r}, api_key_env={self.api_key_env!r}, {self.protocol.name})"

    def estimate(
        self, answers: Generations, store: RatingStore | None = None, limit: int | None = None
    ) -> CostEstimate:
        """What `rate` with the same arguments would take; calls already in the store cost nothing."""
        plan = self._plan(answers, limit)
        asked = plan.question_calls()
        frame = None if store is None else ledger.rows(store, [*plan.raters, plan.questions_rater])
        known = {} if frame is None else ledger.paid(frame)
        made = {} if frame is None else ledger.questions(frame, asked)
        unasked = {call.prompt_id: _SOME_QUESTIONS for call in asked if call.prompt_id not in made}
        every = [*asked, *plan.calls(made | unasked)]
        calls = [call for call in every if call.identity not in known]
        seen = [(call, known[call.identity]) for call in every if call.identity in known]
        scale, out, seconds = _measured(seen, self._expected_out())
        tokens_in = round(scale * sum(call.request.size for call in calls))
        tokens_out = round(sum(_QUESTIONS_OUT if call.part == "questions" else out for call in calls))
        parts: dict[str, int] = {}
        for call in calls:
            parts[call.part] = parts.get(call.part, 0) + 1
        price = self.price
        prompts = len({c.prompt["prompt_id"] for c in plan.comparisons if c.part == "pairs"})
        return CostEstimate(
            calls=len(calls),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            dollars=price.of(tokens_in, tokens_out) if price else None,
            minutes=self._minutes(len(calls), tokens_in + tokens_out, seconds),
            smallest_difference=smallest_difference(prompts),
            prompts=prompts,
            parts=parts,
            price=price,
        )

    def rate(
        self,
        answers: Generations,
        store: RatingStore | None = None,
        limit: int | None = None,
        progress: bool = True,
        spend_limit: float | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        remind: bool = True,
    ) -> pd.DataFrame:
        """Compare every model with the first on every prompt (the first `limit`), by the rules of the protocol.

        Each reply is in the store as soon as it arrives, so an interrupt or a crash loses only calls under way, and
        the next `rate` goes on from there without paying twice. A call that fails is `unscored` with its reason and
        asked again by the next `rate`. Without a store the ratings are kept in memory only. An interrupt stops like
        `stop()`: calls under way are finished first; a second one does not wait. spend_limit: dollars after which
        nothing more is asked. on_progress: called in the judge's own thread. remind: where progress is shown, say in a
        line that this judge has not sat its exam, before its first use in this store, and which calls gave no verdict.

        Returns the store's rows of this judge for these comparisons. Raises JudgeError when the judge cannot work at
        all: no key, refused key, unknown model, an endpoint that never answers, a spending limit without a price.
        """
        import numpy as np
        from tqdm.auto import tqdm

        from sftkit.ratings.store import RatingStore
        from sftkit.ratings.votes import of_models

        plan = self._plan(answers, limit)
        key = self._key()
        self._price = self.price  # the file is read once a run
        if spend_limit is not None and self._price is None:
            raise JudgeError(
                f"no price of {self.model} is known, so no spending limit can be kept: give prices={{…}}"
            )
        store = store if store is not None else RatingStore("sqlite://")
        store.register(answers)
        if remind and progress and (words := self._reminder(store)):
            tqdm.write(words)
        # the bar is made here: a notebook shows what its own thread displays
        with tqdm(total=0, unit="call", desc=self.rater, disable=not progress) as bar:
            work = self._work(plan, store, key, spend_limit, _teller(self, bar, on_progress))
            run_apart(work, lambda: self.stop(), self.timeout + 5)
        if remind and progress and self.progress.words:
            tqdm.write(self.progress.words)
        wanted = {comparison.identity for comparison in plan.comparisons}
        frame = of_models(ledger.rows(store, plan.raters))
        identities = zip(frame["rater"], frame["prompt_id"], frame["model_a"], frame["model_b"])
        mine = [key in wanted and now for key, now in zip(identities, frame["current"])]
        return frame[np.array(mine, dtype=bool)].reset_index(drop=True)

    def exam(self, store: RatingStore | None = None, **options: Any) -> Exam:
        """Let this judge sit its admission exam, see `sk.exam`."""
        from sftkit.judging.exam import exam

        return exam(self, store, **options)

    def _reminder(self, store: RatingStore) -> str:
        from sftkit.judging.exam import reminder

        return reminder(self, store)

    def stop(self) -> None:
        """End the run under way, from any thread: nothing more is asked, what was asked is stored."""
        if self._asking is not None:
            self._asking.stop()

    def failures(self, store: RatingStore) -> pd.DataFrame:
        """The kinds of failure among this judge's current ratings: columns reason, n."""
        frame = store.frame(self.rater)
        failed = frame[frame["current"] & frame["verdict"].eq("unscored")]["reason"].map(ledger.reason_of)
        return failed.value_counts().rename_axis("reason").reset_index(name="n")

    def canaries(self, store: RatingStore) -> pd.DataFrame:
        """How this judge's canaries fared, a row a kind: kind, n, won, tied, lost, unscored, rate (the share that broke
        its rule), must ("not win", "tie", "lose"), ok (rate at most 5 %)."""
        return canaries.table(store, self.rater)

    async def _work(
        self,
        plan: Plan,
        store: RatingStore,
        key: str,
        spend_limit: float | None,
        tell: Callable[[Progress], None],
    ) -> None:
        """Questions first, since the verdicts' requests hold them; then whatever is not in the store yet."""
        asked = plan.question_calls()
        frame = ledger.rows(store, [plan.questions_rater])
        open_ones = [call for call in asked if call.identity not in ledger.paid(frame)]
        asking = self._asking = self._open(store, key, spend_limit, tell)
        await asking.open()
        try:
            total = len(open_ones) + len(plan.comparisons)
            asking.progress = replace(asking.progress, total=total)
            await asking.run(open_ones)
            made = ledger.questions(ledger.rows(store, [plan.questions_rater]), asked)
            lacking = {call.prompt_id for call in asked} - made.keys()
            wanted = [c for c in plan.comparisons if c.prompt["prompt_id"] not in lacking]
            calls = plan.calls(made, wanted)
            known = ledger.paid(ledger.rows(store, plan.raters))
            unpaid = [call for call in calls if call.identity not in known]
            asking.progress = replace(asking.progress, total=len(open_ones) + len(unpaid))
            with heap_at_rest():
                await asking.run(unpaid)
            store.add_many(self._without_questions(plan, lacking, asking))
            if self.protocol.mode == "pointwise":
                rows = ledger.rows(store, plan.raters)
                store.add_many(ledger.derived(plan.comparisons, rows, self.protocol, self._notes()))
        finally:
            await asking.close()

    def _open(
        self, store: RatingStore, key: str, spend_limit: float | None, tell: Callable[[Progress], None]
    ) -> Asking:
        return Asking(
            Endpoint(
                self.model, self.base_url, key, self.timeout, self.protocol.logprobs, self.max_concurrency
            ),
            Pace(self.max_concurrency, self.requests_per_minute, self.tokens_per_minute),
            store,
            self._read,
            max_retries=self.max_retries,
            price=self._price,
            spend_limit=spend_limit,
            expected_out=self._expected_out(),
            tell=tell,
        )

    def _without_questions(self, plan: Plan, lacking: set[str], asking: Asking) -> list[Rating]:
        """Comparisons whose questions could not be made; none after a stop, which leaves them for the next run."""
        if asking.progress.stopped:
            return []
        failure = Failure("questions", "none were made for this prompt (questions='off' judges without)")
        left = [c for c in plan.comparisons if c.prompt["prompt_id"] in lacking]
        return [self._read(call, failure, 0.0) for call in plan.calls({}, left)]

    def _plan(self, answers: Generations, limit: int | None) -> Plan:
        return Plan(self.model, self.rater, self.protocol, answers, limit)

    def _key(self) -> str:
        key = os.environ.get(self.api_key_env)
        if not key and not self.base_url:
            raise JudgeError(
                f"no key for {self.model}: set the environment variable {self.api_key_env} (never in the notebook), or "
                "name a base_url that needs none, or use the offline ReferenceJudge(), which checks references"
            )
        return key or NO_KEY

    def _expected_out(self) -> float:
        """Tokens of a reply, roughly: a quote of 20 words and a score, for each answer and dimension."""
        cells = len(self.protocol.dimensions) * (2 if self.protocol.mode == "pairwise" else 1)
        return 20 + cells * (30 if self.protocol.evidence else 8) + 300 * self.protocol.chain_of_thought

    def _minutes(self, calls: int, tokens: float, seconds: float) -> float:
        """The slowest of: calls at once, requests a minute, tokens a minute."""
        times = [calls * seconds / 60 / self.max_concurrency]
        times += [calls / self.requests_per_minute] if self.requests_per_minute else []
        times += [tokens / self.tokens_per_minute] if self.tokens_per_minute else []
        return max(times)

    def _notes(self) -> dict[str, Any]:
        """What goes along with every rating: which rules made it."""
        p = self.protocol
        return {
            "protocol": {"name": p.name, "hash": p.hash, "safety_gate": p.safety_gate, "rules": p.changed}
        }

    def _read(self, call: Call, reply: Reply | Failure, seconds: float) -> Rating:
        """The rating that a reply holds; whatever is wrong with the reply, it is kept and the call is unscored."""
        common = {
            "rater": call.rater,
            "prompt_id": call.prompt_id,
            "model_a": call.model_a,
            "model_b": call.model_b,
            "shown_first": call.shown_first,
            "seconds": round(seconds, 3),
            "request_hash": call.request.hash,
        }
        evidence = self._notes() | ({"flags": call.flags} if call.flags else {})
        if isinstance(reply, Failure):
            return Rating(**common, verdict="unscored", reason=f"{reply.reason}: {reply}", evidence=evidence)
        common |= {"raw_reply": reply.text, "tokens_in": reply.tokens_in, "tokens_out": reply.tokens_out}
        if (price := self._price) and reply.tokens_in is not None and reply.tokens_out is not None:
            common["price"] = price.of(reply.tokens_in, reply.tokens_out, reply.tokens_cached or 0)
        evidence |= {"served_by": reply.served_by, "form": reply.form}
        evidence |= {"fingerprint": reply.fingerprint} if reply.fingerprint else {}
        if self._asking and (
            dropped := self._asking.endpoint.dropped - ({"logprobs"} if not self.protocol.logprobs else set())
        ):
            evidence["dropped"] = sorted(dropped)
        shape = call.request.shape
        evidence |= {"shape": shape.to_json()} if shape else {}
        try:
            if reply.fault:
                raise Unscorable(*reply.fault)
            said = _understood(reply, call)
        except Unscorable as error:
            reason = f"{error.reason}: {error}"
            return Rating(**common, verdict="unscored", reason=reason, evidence=evidence)
        # a request under way in two processes at once is stored once
        evidence |= said.pop("evidence")
        return Rating(**common, **said, evidence=evidence, key=":".join(call.identity))


_SOME_QUESTIONS = ["x" * 100] * 3  # what questions take, before they are known
_QUESTIONS_OUT = 80


def _understood(reply: Reply, call: Call) -> dict[str, Any]:
    """verdict, scores and evidence of a reply. Raises Unscorable."""
    shape = call.request.shape
    if shape is None:
        read_questions(reply.text)
        return {"verdict": "open", "evidence": {}}
    verdict = read_verdict(reply.text, shape)
    evidence: dict[str, Any] = {"quotes": verdict.quotes} if verdict.quotes else {}
    evidence |= {"reasoning": verdict.reasoning} if verdict.reasoning else {}
    if reply.logprobs and reply.text and (found := probabilities(reply.text, reply.logprobs, shape)):
        evidence["probabilities"] = found
    return {"verdict": verdict.verdict, "scores": verdict.scores, "evidence": evidence}


def _measured(seen: list[tuple[Call, Any]], out: float) -> tuple[float, float, float]:
    """(actual over rough tokens in, tokens out, seconds) of a call, from those already answered."""
    counted = [
        (c, row)
        for c, row in seen
        if row.tokens_in == row.tokens_in and row.tokens_in and c.part != "questions"
    ]
    if not counted:
        return 1.0, out, SECONDS
    rough = sum(call.request.size for call, _ in counted)
    means = [
        sum(float(getattr(row, name) or 0) for _, row in counted) / len(counted)
        for name in ("tokens_out", "seconds")
    ]
    return sum(int(row.tokens_in) for _, row in counted) / rough, *means


def _teller(
    judge: Judge, bar: Any, on_progress: Callable[[Progress], None] | None
) -> Callable[[Progress], None]:
    """Shows progress in the bar, on the judge, and to whoever asked."""

    def tell(now: Progress) -> None:
        judge.progress = now
        if bar.total != now.total:  # by a reset: in a notebook, a bar born without a total else stays a stub
            done = bar.n
            bar.reset(now.total)
            bar.n = bar.last_print_n = done
        failed = sum(now.failures.values())
        words = ([f"${now.spent:.3f}"] if now.spent is not None else []) + (
            [f"{failed} failed"] if failed else []
        )
        bar.set_postfix_str(", ".join(words), refresh=False)
        bar.update(now.done - bar.n)
        if on_progress is not None:
            on_progress(now)

    return tell
