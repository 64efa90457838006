"""A pasted command or file to settings: which program it calls, what each flag stands for, what it leaves unsaid.

OpenRLHF's train_sft in the flags of every version, TRL's and transformers' scripts, LLaMA-Factory's YAML, and sftkit's
own, behind DeepSpeed's, torchrun's or accelerate's launcher.
"""

from __future__ import annotations

import difflib
import json
import re
from contextlib import suppress
from typing import Any

from sftkit.command import others, shell
from sftkit.command.launchers import Launcher
from sftkit.command.names import (
    ATTENTION,
    DTYPE,
    DTYPE_SINCE,
    NAMES,
    OPENRLHF_DEFAULTS,
    OPENRLHF_TEMPLATE,
    PLAIN_TEMPLATE,
    SETTING_OF,
    SWITCHES,
    TRL_DEFAULTS,
    Version,
    range_of,
)
from sftkit.command.translation import Flag, Translation
from sftkit.command.traps import trap
from sftkit.command.words import has, of_setting, said
from sftkit.command.yaml_text import flags_of, mapping
from sftkit.config import SFTConfig
from sftkit.errors import ConfigError, Fault
from sftkit.wording import say

LISTS = frozenset("adam_betas gpus dataset_probs dataset_caps report_to target_modules".split())
TRACKERS = ("tensorboard", "wandb", "mlflow")

Pairs = list[tuple[str, list[str]]]


def translate(text: str, lang: str = "en") -> Translation:
    """The settings, flags and traps of a launch command, a script with one in it, or a YAML file of settings.

        found = sk.translate("openrlhf.cli.train_sft --pretrain data/tiny-base --dataset data/train.jsonl --max_len 512")
        print(found)                # flag by flag, with the traps
        found.config                # an SFTConfig

    lang: "en" or "zh", of the explanations.
    Raises `ConfigError` where the text is none of these, or a quote in it is left open.
    """
    if entries := mapping(text):
        program = others.program_of(entries)
        return _Reader(program, lang, dashes="").read(flags_of(entries), shell.Script())
    kept = _comments(text)
    script = shell.read(text, _takes_value)
    flags = _flags(script.after)
    if not flags:
        raise ConfigError(
            [Fault("", say("this is no launch command: it has no --flag."), say("Paste the whole script."))]
        )
    return _Reader(_kind(script, flags), lang).read(flags, script, kept)


def _kind(script: shell.Script, flags: Pairs) -> str:
    """Which program's habits the command follows."""
    name = script.program
    if "train_sft" in name:
        return "openrlhf"
    if name.startswith("llamafactory"):
        return "llamafactory"
    if name in ("", "launch"):
        return "sftkit" if name else ""
    ours = {*SFTConfig.model_fields, *(names.plain for names in NAMES.values())}
    theirs = {names.trl for names in NAMES.values()} | others.TRL
    return "trl" if any(flag in theirs - ours for flag, _ in flags) else ""


def _comments(text: str) -> dict[str, Any]:
    """The settings that our own comments tell (`# sftkit bf16=false (…)`), since the program has no flag for them."""
    kept: dict[str, Any] = {}
    for found in re.finditer(r"(?m)^# sftkit (\w+)=(.*)$", text):
        with suppress(ValueError):
            value, _ = json.JSONDecoder().raw_decode(found[2])
            if found[1] in SFTConfig.model_fields:
                kept[found[1]] = value
    return kept


def _flags(words: list[str]) -> Pairs:
    """[(flag without dashes, its values)] in order; `--a=b` counts as `--a b`, a negative number is a value."""
    flags: Pairs = []
    for word in words:
        if re.match(r"--[A-Za-z]", word):
            name, equals, value = word[2:].partition("=")
            flags.append((name.replace("-", "_"), [value] if equals else []))
        elif flags:
            flags[-1][1].append(word)
    return flags


def _takes_value(flag: str) -> bool:
    name = flag.removeprefix("--").replace("-", "_")
    setting = SETTING_OF.get(name) or (name if name in SFTConfig.model_fields else "")
    return setting not in SWITCHES if setting else name in others.WITHOUT_SETTING


class _Reader:
    """Goes through the flags of one command and gathers what they say."""

    def __init__(self, program: str, lang: str, dashes: str = "--"):
        self.program, self.lang, self.dashes = program, lang, dashes
        self.settings: dict[str, Any] = {}
        self.seen: dict[str, str] = {}  # flag -> its first value
        self.flags: list[Flag] = []
        self.unused: list[str] = []
        self.faults: list[Fault] = []
        self.notes: list[str] = []

    def read(self, flags: Pairs, script: shell.Script, kept: dict[str, Any] | None = None) -> Translation:
        launcher = Launcher(script, self.lang)
        self.flags += launcher.flags
        for flag, values in flags:
            self._flag(flag, values, script.unset)
        for name, value in (kept or {}).items():
            self.settings[name] = value
            self.flags.append(Flag(f"# sftkit {name}", json.dumps(value), name, of_setting(name)))
        self._finish(launcher)
        if self.program == "openrlhf":
            self._openrlhf_notes()
        if script.commands > 1:
            self.notes.append(said("note", "several", self.lang, n=script.commands))
        unknown = [fault.field for fault in self.faults if "no such flag" in fault.message]
        return Translation(
            self.program, _typed(self.settings), tuple(self.flags), tuple(unknown), tuple(self.unused),
            tuple(self.notes), tuple(self.faults),
        )  # fmt: skip

    def _flag(self, flag: str, values: list[str], unset: set[str]) -> None:
        setting = SETTING_OF.get(flag) or (flag if flag in SFTConfig.model_fields else None)
        first = values[0] if values else ""
        self.seen[flag] = first
        secret = others.is_secret(flag)
        shown = others.HIDDEN if secret and first else " ".join(values)
        if flag in ATTENTION:
            self._attention(first)
        elif flag in DTYPE:
            setting = "bf16"
            self._dtype(first)
        elif setting == "chat_template" and self._template_text(flag, first):
            setting = None
        elif setting is not None:
            self._store(setting, flag, values)
        elif flag in others.WITHOUT_SETTING:
            setting = others.meant(flag, first, self.settings)
            if setting is None and flag not in others.ALWAYS_SO:
                self.unused.append(f"{self.dashes}{flag}")
        else:
            self.faults.append(Fault(f"{self.dashes}{flag}", say("there is no such flag."), _nearest(flag)))
        words = [trap(flag, setting, first, self.program, self.lang)] if not secret else []
        words += [said("trap", "unset", self.lang, name=name) for name in unset if f"${name}" in shown or f"${{{name}" in shown]  # fmt: skip
        if secret:
            variable = others.VARIABLES.get(flag, "")
            words.append(said("trap", "secret", self.lang, variable=f": {variable}" if variable else ""))
            words.append(trap(flag, setting, "", self.program, self.lang))
        name = f"{self.dashes}{flag}"
        self.flags.append(
            Flag(name, shown, setting, self._sentence(flag, setting), " ".join(filter(None, words)))
        )

    def _sentence(self, flag: str, setting: str | None) -> str:
        if setting:
            return of_setting(setting)
        key = others.sentence(flag)
        if has("flag", key):
            return said("flag", key, self.lang)
        return " ".join(filter(None, (said("flag", "unknown", self.lang), _nearest(flag))))

    # values

    def _store(self, setting: str, flag: str, values: list[str]) -> None:
        if setting in SWITCHES or (setting == "merge_lora" and not values):
            self._switch(setting, flag, values)
        elif not values:
            self.faults.append(Fault(f"{self.dashes}{flag}", say("has no value.")))
        elif setting in LISTS:
            self._list(setting, values)
        elif len(values) > 1:
            words = say("has {n} values: {values}.", n=len(values), values=" ".join(values))
            self.faults.append(Fault(f"{self.dashes}{flag}", words, say("Quote a value with blanks.")))
        elif setting == "input_template" and values[0] == PLAIN_TEMPLATE:
            self.settings[setting] = None
        elif setting == "chat_template":
            self.settings |= {setting: _file_of(values[0]), "apply_chat_template": False}
        elif not (flag == "train_split" and "dataset_split" in self.seen):
            self.settings[setting] = others.number(setting, values[0])

    def _switch(self, setting: str, flag: str, values: list[str]) -> None:
        if setting == "flash_attn" and values and values[0] in others.ATTENTION_WORDS:
            self._attention(others.ATTENTION_WORDS[values[0]])  # LLaMA-Factory's --flash_attn fa2
        elif len(values) > 1:
            self.faults.append(
                Fault(f"{self.dashes}{flag}", say("takes one value, not {names}.", names=" ".join(values)))
            )
        elif not (setting == "apply_chat_template" and self.settings.get("chat_template")):
            self.settings[setting] = values[0] if values else True

    def _list(self, setting: str, values: list[str]) -> None:
        parts = tuple(part for value in values for part in value.split(",") if part)
        if setting == "report_to":
            parts = tuple(part for part in parts if part in TRACKERS)
        # Words of other programs for what is our default.
        self.settings[setting] = () if parts in (("all-linear",), ("none",), ("all",)) else parts

    def _attention(self, value: str) -> None:
        """flash-attn 2 is what our `flash_attn` takes by itself; any other choice is kept as it stands."""
        self.settings["flash_attn"] = value.startswith("flash_attention")
        if value != "flash_attention_2":
            self.settings["attn_implementation"] = value or "auto"

    def _dtype(self, value: str) -> None:
        self.settings["bf16"] = value in ("bf16", "bfloat16", "auto")
        self.settings["fp16"] = value in ("fp16", "float16")

    def _template_text(self, flag: str, value: str) -> bool:
        """Whether a chat template was given as its text, which no setting holds; the tokenizer's stands in."""
        if "{%" not in value and "{{" not in value:
            return False
        self.settings["apply_chat_template"] = True
        self.unused.append(f"{self.dashes}{flag}")
        return True

    # what was not said

    def _finish(self, launcher: Launcher) -> None:
        defaults: dict[str, Any] = {}
        if self.program == "openrlhf":
            defaults = dict(OPENRLHF_DEFAULTS)
            defaults["bf16"] = self._range()[0] >= DTYPE_SINCE
            if not ({"input_template", "apply_chat_template", "chat_template"} & self.settings.keys()):
                defaults["input_template"] = OPENRLHF_TEMPLATE
        elif self.program in ("trl", "llamafactory"):
            defaults = dict(TRL_DEFAULTS) if self.program == "trl" else dict(others.LLAMAFACTORY_DEFAULTS)
            others.finish(self.program, self.settings, self.seen, defaults)
            if self.program == "trl":
                self.notes.append(said("note", "trl_defaults", self.lang))
            if {"lora_r", "lora_rank"} & self.seen.keys() and not self.settings["lora_rank"]:
                self.notes.append(said("note", "no_peft", self.lang))
        self.settings |= launcher.settings
        if "gradient_accumulation_steps" in self.seen or self.program in ("trl", "llamafactory"):
            self._batch(launcher.processes)
        if self.settings.get("apply_chat_template") not in (None, False, "false", "False"):
            self.settings.pop("input_template", None)  # OpenRLHF does not look at it then
        self.settings = {**defaults, **self.settings}
        self.notes += launcher.notes

    def _batch(self, processes: int) -> None:
        """Where the batch is per device and accumulated, ours is their product."""
        steps = self.seen.get("gradient_accumulation_steps", "1")
        micro = str(self.settings.get("micro_train_batch_size", 8))
        if steps.isdigit() and micro.isdigit() and "train_batch_size" not in self.settings:
            self.settings["train_batch_size"] = int(micro) * int(steps) * processes

    def _range(self) -> tuple[Version, Version]:
        """[first OpenRLHF that has all these flags, first that has not all of them)."""
        ranges = [range_of(flag) for flag in self.seen if flag in SETTING_OF or flag in others.OPENRLHF]
        return max((first for first, _ in ranges), default=(0,)), min(
            (last for _, last in ranges), default=(99,)
        )

    def _openrlhf_notes(self) -> None:
        notes, seen = self.notes, {SETTING_OF.get(flag, flag) for flag in self.seen}
        notes.insert(0, others.versions(self.seen, self._range(), self.lang))
        if self.settings.get("input_template") == OPENRLHF_TEMPLATE and "input_template" not in seen:
            notes.append(said("note", "template", self.lang))
        if "output_key" not in seen and "apply_chat_template" not in seen:
            notes.append(said("note", "no_answer", self.lang))
        if "max_epochs" not in seen:
            notes.append(said("note", "epochs", self.lang))
        if not seen & {"bf16", *DTYPE} and self._range()[0] < DTYPE_SINCE:
            notes.append(said("note", "fp32", self.lang))
        notes.append(said("note", "bos", self.lang))


def _file_of(template: str) -> str:
    """`$(cat FILE)`, as one hands a template's text to OpenRLHF -> FILE."""
    found = re.fullmatch(r"\$\(cat ['\"]?(.+?)['\"]?\)", template)
    return found[1] if found else template


def _typed(settings: dict[str, Any]) -> dict[str, Any]:
    """The same settings as numbers, booleans and lists, where they make a config."""
    try:
        config = SFTConfig(**settings)
    except ConfigError:
        return settings
    return {name: getattr(config, name) for name in settings}


def _nearest(flag: str) -> str:
    known = [*SFTConfig.model_fields, *SETTING_OF, *others.WITHOUT_SETTING]
    close = difflib.get_close_matches(flag, known, n=1, cutoff=0.6)
    return say("Did you mean --{close}?", close=close[0]) if close else ""
