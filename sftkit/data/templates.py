"""Chat templates: messages to one text, and where in that text the assistant speaks.

Every format is one jinja template, written so that transformers understands it too: the tuned model carries it, and
whoever asks the model later asks in the words it was trained on.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox

from sftkit.config import SFTConfig
from sftkit.data.shaping import Message
from sftkit.data.vocabulary import Vocabulary
from sftkit.errors import DataError

Span = tuple[int, int]  # characters [start, end) of a text

SENTINEL = "\ue000\ue001\ue000"  # private-use characters: in no text, so they mark a place

PLAIN = """\
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}{{ message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'user' -%}{{ 'User:\\n' + message['content'] + '\\n\\n' }}
{%- else -%}{{ 'Assistant:\\n' + message['content'] }}{{ eos_token }}{{ '' if loop.last else '\\n\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'Assistant:\\n' }}{%- endif -%}"""

_AROUND = """\
{{%- for message in messages -%}}
{{%- if message['role'] == 'system' -%}}{{{{ message['content'] + '\\n\\n' }}}}
{{%- elif message['role'] == 'user' -%}}{{{{ {before} + message['content'] + {after} }}}}
{{%- else -%}}{{{{ {blank} + message['content'] }}}}{{{{ eos_token }}}}{{{{ '' if loop.last else '\\n' }}}}
{{%- endif -%}}
{{%- endfor -%}}"""


def plain_template(vocabulary: Vocabulary) -> ChatTemplate:
    """The project's own format, for models without a chat template: `User:\\n…\\n\\nAssistant:\\n…<eos>`."""
    return ChatTemplate.build(PLAIN, vocabulary)


def around_template(text: str) -> str:
    """The jinja template of an `input_template` such as "User: {}\\nAssistant: ".

    The blank before the answer is left out of the prompt and put before the answer: tokenizers join it to the
    answer's first word, so a prompt that ends in it asks for tokens that the training never showed.
    """
    before, after = text.split("{}")
    head = after.rstrip(" ")
    parts = {"before": before, "after": head, "blank": after[len(head) :]}
    return _AROUND.format(**{name: json.dumps(part, ensure_ascii=False) for name, part in parts.items()})


def chat_template(config: SFTConfig, vocabulary: Vocabulary) -> ChatTemplate:
    """The template that a run trains with. Raises `DataError` when the tokenizer has none and one is asked for."""
    if config.apply_chat_template:
        if not vocabulary.chat_template:
            raise DataError(
                "its tokenizer has no chat template; turn apply_chat_template off.", file=config.pretrain
            )
        return ChatTemplate.build(vocabulary.chat_template, vocabulary)
    if config.input_template:
        return ChatTemplate.build(around_template(config.input_template), vocabulary)
    return plain_template(vocabulary)


@dataclass(frozen=True)
class ChatTemplate:
    """A jinja template with the tokenizer's special tokens.

    `source` is what the tuned model's tokenizer carries. `end` is the token that ends an answer; `tail` is what the
    template writes after the last answer (the end token, often a newline).
    """

    source: str
    tokens: dict[str, str] = field(default_factory=dict)
    end: str = ""
    tail: str = ""

    @classmethod
    def build(cls, source: str, vocabulary: Vocabulary) -> ChatTemplate:
        """`source`, mended where it writes no BOS though the model wants one, or no end token after the answer."""
        probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": SENTINEL}]
        text = cls(source, vocabulary.tokens).render(probe)
        if vocabulary.adds_bos and not text.lstrip().startswith(vocabulary.bos):
            source = "{{ bos_token }}" + source
        tail = text.partition(SENTINEL)[2]
        end = _end_mark(tail, vocabulary)
        if not end and vocabulary.eos:
            source += "{%- if not add_generation_prompt -%}{{ eos_token }}{%- endif -%}"
            tail = tail + vocabulary.eos
            end = tail  # the blanks before the end token are part of what the model must write
        return cls(source, vocabulary.tokens, end, tail)

    def render(self, messages: list[Message], add_generation_prompt: bool = False) -> str:
        """The text of a conversation; with the generation prompt, the text that asks for the next answer."""
        try:
            return _compiled(self.source).render(
                messages=messages, add_generation_prompt=add_generation_prompt, tools=None, documents=None, **self.tokens
            )  # fmt: skip
        except (jinja2.TemplateError, TypeError) as error:
            raise DataError(f"the chat template says: {error}") from None

    def spans(self, messages: list[Message]) -> tuple[str, list[Span]]:
        """The whole text, and the character spans in it that the assistant must learn, end tokens included.

        Nothing is assumed of the template: an answer begins where the prompt before it ends, when that prompt is a
        beginning of the whole text; else (a template that rewrites history) where the text starts to differ if the
        answer is exchanged for a mark. Turns without an answer teach nothing.
        """
        text = self.render(messages)
        found = []
        for index, message in enumerate(messages):
            speaks = message["role"] == "assistant" and message["content"].strip()
            if speaks and (span := self._span(text, messages, index)) is not None:
                found.append(span)
        return text, found

    def _span(self, text: str, messages: list[Message], index: int) -> Span | None:
        prompt = self._prompt(messages[:index])
        start = len(prompt) if prompt is not None and text.startswith(prompt) else None
        if start is not None and index == len(messages) - 1 and self.tail and text.endswith(self.tail):
            stop = len(text) - len(self.tail)
        else:
            mark = {"role": "assistant", "content": SENTINEL}
            before, there, after = self.render([*messages[:index], mark, *messages[index + 1 :]]).partition(
                SENTINEL
            )
            if not there:  # the template leaves this turn out
                return None
            if start is None:
                start = _shared(text, before)
            stop = len(text) - _shared(text[::-1], after[::-1])
        if self.end and text.startswith(self.end, stop):
            stop += len(self.end)
        return (start, stop) if start < stop else None

    def _prompt(self, messages: list[Message]) -> str | None:
        try:
            return self.render(messages, add_generation_prompt=True)
        except DataError:  # some templates refuse a conversation that is not complete
            return None


def _shared(text: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(text, other))
    return next((place for place, (a, b) in pairs if a != b), min(len(text), len(other)))


def _end_mark(tail: str, vocabulary: Vocabulary) -> str:
    """The beginning of `tail` up to its first special token, if only blanks stand before that."""
    bare = tail.lstrip()
    for mark in vocabulary.marks():
        if bare.startswith(mark):
            return tail[: len(tail) - len(bare) + len(mark)]
    return ""


class _Generation(jinja2.ext.Extension):
    """`{% generation %}…{% endgeneration %}`, with which some templates mark answers: the text in it is kept."""

    tags = {"generation"}

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


@lru_cache(maxsize=64)
def _compiled(source: str) -> jinja2.Template:
    """The template in transformers' own environment: sandboxed, since it comes with a model from anywhere."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return environment.from_string(source)


def _tojson(value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:  # fmt: skip
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)
