"""Answers to a few fixed prompts by the model as it stands, at each checkpoint and at the end of the training.

The likeliest token each time, in evaluation mode: no random number is drawn, and nothing of the training changes. The
weights are used where they are. At ZeRO stage 3 that takes all ranks, which walk together: rank 0 chooses the tokens and
says when it is over. At the other stages rank 0 answers alone, while the others wait for it in the next step.
"""

from __future__ import annotations

import json
import time
from typing import Any

import torch
import torch.distributed as dist

from sftkit.config import SFTConfig
from sftkit.data import asking
from sftkit.runs import folder as disk
from sftkit.training.dataset import Dataset
from sftkit.training.model import Turn
from sftkit.training.run_files import RunFiles

LIMIT = 30.0  # seconds that all answers together may take; what is not said by then is left out


class Sampler:
    """Asks the model in `engine` the prompts of `dataset`, and keeps its answers in `samples.jsonl`."""

    def __init__(self, engine: Any, dataset: Dataset, config: SFTConfig, files: RunFiles):
        model, vocabulary = engine.module.model, dataset.encoder.vocabulary
        settings = model.config.get_text_config()
        self._room = (getattr(settings, "max_position_embeddings", None) or 1 << 30) - config.sample_tokens
        self._prompts = [prompt for prompt in dataset.prompts if len(prompt.ids) <= self._room]
        named = getattr(model.generation_config, "eos_token_id", None) or settings.eos_token_id
        self._ends = asking.end_tokens(named, vocabulary, dataset.encoder.template)
        self._pad = asking.padding(vocabulary, self._ends)
        self._engine, self._files, self._vocabulary = engine, files, vocabulary
        self._tokens, self._asked = config.sample_tokens, -1
        self._together = engine.zero_optimization_partition_weights()

    def ask(self) -> None:
        """Ask after the step in hand, once. Every rank must call it. What goes wrong is said, and ends no run."""
        if not self._prompts or self._asked == self._files.step:
            return
        self._asked = self._files.step
        if not self._together and dist.get_rank() != 0:
            return
        start = time.monotonic()
        self._engine.eval()
        try:
            self._keep(self._answers(start + LIMIT))
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            if self._together and dist.get_world_size() > 1 and isinstance(error, torch.OutOfMemoryError):
                raise  # the other ranks wait for this one
            self._prompts = []
            self._files.say(
                f"This model does not answer while it is trained: {type(error).__name__}: {error}"
            )
        finally:
            self._engine.train()
        if self._prompts:
            self._files.say(f"Step {self._files.step}: {len(self._prompts)} prompts answered in {time.monotonic() - start:.1f} s.")  # fmt: skip

    @torch.no_grad()
    def _answers(self, deadline: float) -> list[list[int]]:
        """New tokens of each prompt, up to and with its end token."""
        rows = [prompt.ids for prompt in self._prompts]
        width, device = max(map(len, rows)), self._engine.device
        turn = Turn(
            torch.tensor([[self._pad] * (width - len(row)) + row for row in rows], device=device),
            torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device),
        )
        answers: list[list[int]] = [[] for _ in rows]
        for _ in range(self._tokens):
            chosen = self._engine(turn).argmax(-1)
            *tokens, over = self._agreed(chosen, time.monotonic() > deadline)
            for answer, token in zip(answers, tokens):
                if not (answer and answer[-1] in self._ends):
                    answer.append(token)
            self._files.beat()
            if over or all(answer[-1] in self._ends for answer in answers):
                break
            turn.go_on(torch.tensor(tokens, device=device))
        return answers

    def _agreed(self, chosen: torch.Tensor, late: bool) -> list[int]:
        """The tokens of each prompt and whether time is up, as rank 0 has it: ranks that differ would wait forever."""
        told = torch.cat([chosen, torch.tensor([int(late)], device=chosen.device)])
        if self._together and dist.get_world_size() > 1:
            dist.broadcast(told, 0)
        return told.tolist()

    def _keep(self, answers: list[list[int]]) -> None:
        earlier, _ = disk.read_lines(self._files.folder / disk.SAMPLES)
        if any(line.get("step") == self._files.step for line in earlier):
            return  # a run that goes on from its very last step
        lines = []
        for prompt, new in zip(self._prompts, answers, strict=True):
            said = asking.answer(new, self._ends, self._vocabulary)
            lines.append(
                {"step": self._files.step, "prompt": prompt.messages, **said, "reference": prompt.reference,
                 "task": prompt.task, "source": prompt.source, "row": prompt.row}
            )  # fmt: skip
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        self._files.append(disk.SAMPLES, text)
