"""Chat templates: messages to one text, and where in that text the assistant speaks.

Every format is one jinja template, written so that transformers understands it too: the tuned model carries it, and
whoever asks the model later asks in the words it was trained on.
"""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from sftkit.config import SFTConfig, nearest
from sftkit.data.answers import Span, find_answers
from sftkit.data.rendering import render
from sftkit.data.shaping import Message
from sftkit.data.vocabulary import Vocabulary
from sftkit.errors import DataError
from sftkit.wording import listed, said_of, say

FOLDER = Path(__file__).parent / "chat_templates"
KNOWN = sorted(path.stem for path in FOLDER.glob("*.jinja"))
PLAIN = (FOLDER / "plain.jinja").read_text(encoding="utf-8").removesuffix("\n")

# Private-use characters: in no text, so they mark a place.
QUESTION, ANSWER = "\ue000\ue002\ue000", "\ue000\ue001\ue000"

_AROUND = """\
{{%- for message in messages -%}}
{{%- if message['role'] == 'system' -%}}{{{{ message['content'] + '\\n\\n' }}}}
{{%- elif message['role'] == 'user' -%}}{{{{ {before} + message['content'] + {after} }}}}
{{%- else -%}}{{{{ {blank} + message['content'] }}}}{{{{ eos_token }}}}{{{{ '' if loop.last else '\\n' }}}}
{{%- endif -%}}
{{%- endfor -%}}"""

# Before a template that ends answers with no token of its own: every answer gets the tokenizer's.
_ENDED = """\
{%- set ended = namespace(turns=[]) -%}
{%- for message in messages -%}
{%- if message['role'] == 'assistant' and message['content'] is string -%}
{%- set ended.turns = ended.turns + [dict(message, content=message['content'] + eos_token)] -%}
{%- else -%}{%- set ended.turns = ended.turns + [message] -%}
{%- endif -%}
{%- endfor -%}
{%- set messages = ended.turns %}"""

# Around a template that writes BOS for some conversations only.
_BOS_ONCE = "{%- set written %}SOURCE{% endset %}{{ '' if (written | trim).startswith(bos_token) else bos_token }}{{ written }}"


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
    return _AROUND.format(**{name: _quoted(part) for name, part in parts.items()})


def chosen_template(chosen: str, vocabulary: Vocabulary) -> str:
    """The source of a known template, or of a jinja file.

    A known template whose end mark is no token of this tokenizer ends answers with the tokenizer's own EOS: as plain
    text (`<|im_end|>` cut into ten tokens) the mark would stop no generation. Its other marks stay, as text that the
    model reads like any other. A file is taken as it stands; `ChatTemplate.build` adds the EOS where it needs one.
    """
    if chosen in KNOWN:
        source = (FOLDER / f"{chosen}.jinja").read_text(encoding="utf-8")
        mark = re.match(r"\{%- set end = '(.+)' -%\}\n", source)
        if mark and mark[1] not in vocabulary.marks():
            source = "{%- set end = eos_token -%}\n" + source[mark.end() :]
        return source
    path = Path(chosen)
    if not path.is_file():
        words = say("chat_template {chosen!r} is neither a file nor a known template; the known ones are {names}.", chosen=chosen, names=", ".join(KNOWN))  # fmt: skip
        raise DataError(listed(filter(None, (words, nearest(chosen, KNOWN))), " "))
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(say("cannot be read as a template: {error}", error=error), file=path) from None


def chat_template(config: SFTConfig, vocabulary: Vocabulary) -> ChatTemplate:
    """The template that a run trains with: `chat_template`, the tokenizer's, `input_template`, or the plain one.

    Raises `DataError` when it cannot be had, or when no token would teach the model to stop.
    """
    file: str | None = None
    if config.chat_template:
        source = chosen_template(config.chat_template, vocabulary)
        file = None if config.chat_template in KNOWN else config.chat_template
    elif config.apply_chat_template:
        source, file = vocabulary.chat_template, config.pretrain
        if not source:
            raise DataError(
                say(
                    "its tokenizer has no chat template; turn apply_chat_template off, or choose a chat_template ({names}).",
                    names=", ".join(KNOWN),
                ),
                file=config.pretrain,
            )
    else:
        source = around_template(config.input_template) if config.input_template else PLAIN
    try:
        template = ChatTemplate.build(source, vocabulary)
    except DataError as error:
        raise DataError(said_of(error), file=file) from None
    if not template.end and vocabulary.id(vocabulary.eos) is None:
        raise DataError(
            say(
                "has no token that ends an answer, so the model would never learn to stop: name one of its tokens as eos_token in tokenizer_config.json."
            ),
            file=config.pretrain,
        )
    return template


@dataclass(frozen=True)
class ChatTemplate:
    """A jinja template with the tokenizer's special tokens.

    `source` is what the tuned model's tokenizer carries. `end` is what ends an answer: a token that generation can
    stop at, with the blanks that the template writes before it. How it writes one exchange: question, `ask` (the rest
    of the prompt), `lead` (what stands before the answer although the prompt does not give it, mostly a blank),
    answer, `tail` (it begins with `end`). `ask` is empty where the prompt is no beginning of the whole text. `now` is
    the time for templates that write a date: one for all rows.
    """

    source: str
    tokens: dict[str, str] = field(default_factory=dict)
    end: str = ""
    tail: str = ""
    ask: str = ""
    lead: str = ""
    now: datetime.datetime = field(default_factory=datetime.datetime.now, compare=False)

    @classmethod
    def build(cls, source: str, vocabulary: Vocabulary) -> ChatTemplate:
        """`source`, mended where training or asking with it would go wrong. Raises `DataError` if it cannot be used.

        BOS is put first where the model wants one and the template writes none. The tokenizer's EOS is put behind
        every answer where the template ends answers with no token (words like `### End` stop no generation). The
        header of an answer becomes the generation prompt where the template has none: the model must be asked in it.
        """
        bare = cls(
            source.removesuffix("\n"), vocabulary.tokens
        )  # jinja drops that newline too, but only at the end
        template = bare._with_bos(vocabulary)._measured(vocabulary)
        if not template.end and vocabulary.id(vocabulary.eos) is not None:
            template = replace(template, source=_ENDED + template.source)._measured(vocabulary)
        if header := template._header_not_asked_for():
            asks = "{% if add_generation_prompt %}{{ " + _quoted(header) + " }}{% endif %}"
            template = replace(template, source=template.source + asks)._measured(vocabulary)
        return template

    def render(self, messages: list[Message], add_generation_prompt: bool = False) -> str:
        """The text of a conversation; with the generation prompt, the text that asks for the next answer."""
        return render(
            self.source, self.now, messages=messages, add_generation_prompt=add_generation_prompt, tools=None, documents=None, **self.tokens
        )  # fmt: skip

    def prompt(self, messages: list[Message]) -> str | None:
        """The text that asks for the next answer; None when the template refuses a conversation without one."""
        return self._attempt(messages, add_generation_prompt=True)

    def _attempt(self, messages: list[Message], add_generation_prompt: bool) -> str | None:
        try:
            return self.render(messages, add_generation_prompt)
        except DataError:
            return None

    def spans(self, messages: list[Message]) -> tuple[str, list[Span]]:
        """The whole text, and the character spans in it that the assistant must learn, end tokens included."""
        text = self.render(messages)
        return text, find_answers(self, text, messages)

    def _with_bos(self, vocabulary: Vocabulary) -> ChatTemplate:
        if not vocabulary.adds_bos:
            return self
        turns = [{"role": role, "content": "a"} for role in ("system", "user", "assistant")]
        texts = [self._attempt(turns, False), self._attempt(turns[1:], False)]
        begins = {text.lstrip().startswith(vocabulary.bos) for text in texts if text is not None}
        if begins == {True}:
            return self
        if begins == {True, False}:
            return replace(self, source=_BOS_ONCE.replace("SOURCE", self.source))
        return replace(self, source="{{ bos_token }}" + self.source)

    def _measured(self, vocabulary: Vocabulary) -> ChatTemplate:
        """With `end`, `tail`, `ask` and `lead`, as one exchange shows them."""
        question, whole = self._exchange()
        before, _, tail = whole.partition(ANSWER)
        end = _end_mark(tail, vocabulary)
        prompt = self.prompt(question)
        if prompt is None or QUESTION not in prompt or not before.startswith(prompt):
            return replace(self, end=end, tail=tail, ask="", lead="")
        ask = prompt.rpartition(QUESTION)[2]
        return replace(self, end=end, tail=tail, ask=ask, lead=before[len(prompt) :])

    def _exchange(self) -> tuple[list[Message], str]:
        """A question and the text of it with an answer; with a system message if the template insists on one."""
        question, answer = {"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}
        try:
            return [question], self.render([question, answer])
        except DataError as error:
            told = [{"role": "system", "content": "a"}, question]
            if (whole := self._attempt([*told, answer], False)) is None:
                raise error
            return told, whole

    def _header_not_asked_for(self) -> str:
        """`lead`, if it has words in it (a role's name) and the template knows no generation prompt."""
        if not any(character.isalnum() for character in self.lead):
            return ""
        question, _ = self._exchange()
        return self.lead if self._attempt(question, False) == self.prompt(question) else ""


def _quoted(text: str) -> str:
    """A text as jinja's literal."""
    return json.dumps(text, ensure_ascii=False)


def _end_mark(tail: str, vocabulary: Vocabulary) -> str:
    """The beginning of `tail` up to its first special token, if only blanks stand before that."""
    bare = tail.lstrip()
    for mark in vocabulary.marks():
        if bare.startswith(mark):
            return tail[: len(tail) - len(bare) + len(mark)]
    return ""
