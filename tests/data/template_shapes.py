"""The chat templates that models come with, written out small: each behaves as its namesake does.

What an answer becomes in the text is stated beside each one, by hand, so that a test can ask for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors, trainers

from tests.conftest import TEXT, write_tokenizer


@dataclass(frozen=True)
class Shape:
    """A template. `said(answer, final)`: what is taught of an answer, in the last turn and in an earlier one.

    `system`: whether it takes a system message (False: it raises). `eats`: marks that swallow the blanks behind them,
    as Phi-3's do. `added`: sftkit puts end tokens or a generation prompt into it, so its text is not transformers'.
    """

    name: str
    source: str
    said: Callable[[str, bool], str]
    marks: tuple[str, ...] = ()
    eos: str = "</s>"
    bos: str | None = "<s>"
    system: bool = True
    eats: tuple[str, ...] = ()
    added: bool = False
    end: str = ""  # of an answer, blanks before it included


def kept(end: str) -> Callable[[str, bool], str]:
    return lambda answer, final: answer + end


def stripped(end: str, before: str = "") -> Callable[[str, bool], str]:
    return lambda answer, final: before + answer.strip() + end


LLAMA3 = """\
{% for message in messages %}
{% set turn = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' %}
{{- bos_token + turn if loop.first else turn -}}
{% endfor %}
{% if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{% endif %}
"""

# Llama 3.1: writes the day, knows tools, and always has a system turn.
LLAMA31 = """\
{{- bos_token }}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- set day = strftime_now('%d %b %Y %H:%M:%S') if strftime_now is defined else '26 Jul 2024' %}
{%- if messages[0]['role'] == 'system' %}
    {%- set told = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set told = '' %}
{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}
{%- if tools is not none %}{{- 'Environment: ipython\\n' + (tools | tojson) }}{%- endif %}
{{- 'Cutting Knowledge Date: December 2023\\nToday Date: ' + day + '\\n\\n' + told + '<|eot_id|>' }}
{%- for message in messages %}
    {%- if message.role == 'ipython' or message.role == 'tool' %}
        {{- '<|start_header_id|>ipython<|end_header_id|>\\n\\n' + message.content + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {{- raise_exception('not in this test') }}
    {%- else %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""

# Qwen 2.5: ChatML with a system message of its own, a newline after each end mark, and no BOS.
QWEN2 = """\
{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are Qwen. You are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) or message.role == 'assistant' %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

# Qwen 3: the thoughts of turns before the last question go; the last turn has a thought, if an empty one.
QWEN3 = """\
{%- if messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}
{%- set ns = namespace(last=messages|length - 1, looking=true) %}
{%- for message in messages[::-1] %}
    {%- set index = messages|length - 1 - loop.index0 %}
    {%- if ns.looking and message.role == 'user' %}{%- set ns.looking = false %}{%- set ns.last = index %}{%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set content = message.content %}
        {%- set thought = '' %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or thought) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}PROMPT{%- endif %}
"""

GEMMA = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}
{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}
"""

# Mistral: no header before an answer but a blank; the system message goes into the first question.
MISTRAL = """\
{%- if messages[0]['role'] == 'system' %}
    {%- set told = messages[0]['content'] + '\\n\\n' %}{%- set turns = messages[1:] %}
{%- else %}
    {%- set told = '' %}{%- set turns = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in turns %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('roles must alternate') }}{%- endif %}
    {%- if message['role'] == 'user' %}
        {{- '[INST] ' + (told if loop.first else '') + message['content'] + ' [/INST]' }}
    {%- else %}
        {{- ' ' + message['content'] + eos_token }}
    {%- endif %}
{%- endfor %}
"""

# Mistral v0.3: the system message stands in the last question only, so it goes as soon as that is answered.
MISTRAL3 = """\
{%- if messages[0]['role'] == 'system' %}{%- set told = messages[0]['content'] %}{%- set turns = messages[1:] %}
{%- else %}{%- set turns = messages %}{%- endif %}
{{- bos_token }}
{%- for message in turns %}
    {%- if message['role'] == 'user' %}
        {{- '[INST]' + (told + '\\n\\n' if loop.last and told is defined else '') + ' ' + message['content'] + '[/INST]' }}
    {%- else %}
        {{- ' ' + message['content'] | trim + eos_token }}
    {%- endif %}
{%- endfor %}
"""

# Llama 2: BOS before every exchange, a blank on both sides of the answer.
LLAMA2 = """\
{%- if messages[0]['role'] == 'system' %}
    {%- set told = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}{%- set turns = messages[1:] %}
{%- else %}
    {%- set told = '' %}{%- set turns = messages %}
{%- endif %}
{%- for message in turns %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('roles must alternate') }}{%- endif %}
    {%- set content = told + message['content'] if loop.first else message['content'] %}
    {%- if message['role'] == 'user' %}
        {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {%- else %}
        {{- ' ' + content.strip() + ' ' + eos_token }}
    {%- endif %}
{%- endfor %}
"""

ZEPHYR = """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
"""

# Phi-3: writes EOS at the end when it writes no generation prompt.
PHI3 = """\
{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}
"""

DEEPSEEK = """\
{% set ns = namespace(told='') %}
{%- for message in messages %}{%- if message['role'] == 'system' %}{%- set ns.told = message['content'] %}{%- endif %}{%- endfor %}
{{- bos_token + ns.told }}
{%- for message in messages %}
    {%- if message['role'] == 'user' %}{{- '<｜User｜>' + message['content'] }}{%- endif %}
    {%- if message['role'] == 'assistant' %}
        {%- set content = message['content'] %}
        {%- if '</think>' in content %}{%- set content = content.split('</think>')[-1] %}{%- endif %}
        {{- '<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<｜Assistant｜>PROMPT' }}{%- endif %}
"""

# OpenChat: no system role, and a header that is plain words and ends in no blank.
OPENCHAT = """\
{{ bos_token }}{% for message in messages %}
{%- if message['role'] == 'system' %}{{- raise_exception('no system role') }}{%- endif %}
{{- 'GPT4 Correct ' + message['role'].title() + ': ' + message['content'] + '<|end_of_turn|>' }}
{%- endfor %}
{% if add_generation_prompt %}{{- 'GPT4 Correct Assistant:' }}{% endif %}
"""

# GLM: no end token at all, since the next header ends an answer.
GLM = """\
[gMASK]<sop>{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] }}{% endfor %}
{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}
"""

# Knows no generation prompt.
VICUNA = """\
{% for message in messages %}
{%- if message.role == 'system' %}{{ message.content + '\\n' }}
{%- elif message.role == 'user' %}{{ 'USER: ' + message.content + '\\n' }}
{%- else %}{{ 'ASSISTANT:\\n' + message.content + eos_token + '\\n' }}{%- endif %}
{%- endfor %}
"""

# Asks for an answer behind every text, whole or not.
EAGER = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>\\n' }}{% endfor %}{{ '<|assistant|>' }}"

# Marks what the assistant writes, for transformers' own assistant mask.
MARKED = """\
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{ '<|im_start|>assistant\\n' }}{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}
{%- else -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""
MARKED_PLAIN = """\
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}A: {% generation %}{{ m.content + eos_token }}{% endgeneration %}
{%- else -%}{{ m.role + ': ' + m.content + '\\n' }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'A: ' }}{%- endif -%}
"""
IM = ("<|im_start|>", "<|im_end|>")
HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
EMPTY_THOUGHT = "<think>\n\n</think>\n\n"
DEEP = ("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>")
PHI = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")


def thinks(given: str) -> Callable[[str, bool], str]:
    """Qwen 3: the last answer has a thought, which is the model's to write unless the prompt gives it."""

    def said(answer: str, final: bool) -> str:
        if not final:
            return answer + "<|im_end|>"
        return EMPTY_THOUGHT.removeprefix(given) + answer.lstrip("\n") + "<|im_end|>"

    return said


SHAPES = [
    Shape("llama3", LLAMA3, stripped("<|eot_id|>"), HEADERS, end="<|eot_id|>"),
    Shape("llama31 with date and tools", LLAMA31, stripped("<|eot_id|>"), HEADERS, end="<|eot_id|>"),
    Shape("qwen2", QWEN2, kept("<|im_end|>"), IM, eos="<|im_end|>", bos=None, end="<|im_end|>"),
    Shape("qwen3", QWEN3.replace("PROMPT", ""), thinks(""), IM, eos="<|im_end|>", bos=None, end="<|im_end|>"),
    Shape("qwen3 not thinking", QWEN3.replace("PROMPT", "{{- '<think>\\n\\n</think>\\n\\n' }}"), thinks(EMPTY_THOUGHT), IM, eos="<|im_end|>", bos=None, end="<|im_end|>"),
    Shape("gemma", GEMMA, stripped("<end_of_turn>"), ("<start_of_turn>", "<end_of_turn>"), system=False, end="<end_of_turn>"),
    Shape("mistral", MISTRAL, lambda answer, final: f" {answer}</s>", ("[INST]", "[/INST]"), end="</s>"),
    Shape("mistral v0.3", MISTRAL3, stripped("</s>", " "), ("[INST]", "[/INST]"), end="</s>"),
    Shape("llama2", LLAMA2, stripped(" </s>", " "), end=" </s>"),
    Shape("zephyr", ZEPHYR, kept("</s>"), end="</s>"),
    Shape("phi3", PHI3, kept("<|end|>"), PHI, end="<|end|>"),
    Shape("phi3, marks that eat blanks", PHI3, kept("<|end|>"), PHI, eats=PHI, end="<|end|>"),
    Shape("deepseek v3", DEEPSEEK.replace("PROMPT", ""), kept(DEEP[2]), DEEP, eos=DEEP[2], end=DEEP[2]),
    Shape("deepseek r1", DEEPSEEK.replace("PROMPT", "<think>\\n"), kept(DEEP[2]), DEEP, eos=DEEP[2], end=DEEP[2]),
    Shape("openchat", OPENCHAT, lambda answer, final: f" {answer}<|end_of_turn|>", ("<|end_of_turn|>",), system=False, end="<|end_of_turn|>"),
    Shape("glm", GLM, kept("</s>"), (*PHI, "[gMASK]", "<sop>"), bos=None, added=True, end="</s>"),
    Shape("vicuna without generation prompt", VICUNA, kept("</s>"), added=True, end="</s>"),
    Shape("eager", EAGER, kept("<|end|>"), PHI, end="<|end|>"),
    Shape("chatml with generation marks", MARKED, kept("<|im_end|>"), IM, end="<|im_end|>"),
    Shape("words with generation marks", MARKED_PLAIN, kept("</s>"), end="</s>"),
    Shape("chatml, marks that are no tokens", MARKED, kept("</s>"), added=True, end="</s>"),
]  # fmt: skip


def write_shape(folder: Path, shape: Shape, sentencepiece: bool = False) -> Path:
    """A tokenizer with the shape's template and marks."""
    if sentencepiece:
        _write_sentencepiece(folder, shape)
    else:
        write_tokenizer(folder, bos=shape.bos, extra=shape.marks)
    path = folder / "tokenizer.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    for token in described["added_tokens"]:
        token["rstrip"] = token["content"] in shape.eats
    path.write_text(json.dumps(described), encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": shape.eos, "pad_token": "<pad>"}
    settings |= {"bos_token": shape.bos} if shape.bos else {}
    settings["chat_template"] = shape.source
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def _write_sentencepiece(folder: Path, shape: Shape) -> None:
    """As Llama 2's: blanks are ▁, one is put before every stretch, what is unknown goes byte by byte."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    raw = [f"<0x{byte:02X}>" for byte in range(256)]
    special = [shape.bos or "<s>", "</s>", "<pad>", "<unk>", *raw]
    trainer = trainers.BpeTrainer(vocab_size=480, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXT * 4, trainer)
    described = json.loads(tokenizer.to_str())  # the byte tokens are no marks
    described["added_tokens"] = [t for t in described["added_tokens"] if t["content"] not in raw]
    tokenizer = Tokenizer.from_str(json.dumps(described))
    tokenizer.add_special_tokens([AddedToken(mark, normalized=False) for mark in shape.marks])
    if shape.bos:
        ids = [(shape.bos, tokenizer.token_to_id(shape.bos))]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{shape.bos} $A", special_tokens=ids)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
