"""Will it fit on the machine I am about to rent? The memory of a run on cards that are not here, way by way.

    table = memory_table(config, sizes)     # sizes: the model's config.json
    table.gib                               # GiB of each card: a row each way of training, a column each number of cards
    table.figure(80)                        # what fits on cards of 80 GiB
    table.nearest(gpus=2, gib=24)           # the settings to change, so that it does

The arithmetic is preflight's own (`memory.py`), with every row as long as `max_len`: the worst case.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftkit.config import SFTConfig
from sftkit.errors import ConfigError
from sftkit.pictures import picture
from sftkit.runs import folder as disk
from sftkit.runs import memory
from sftkit.runs.look import Look
from sftkit.wording import say

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

GIB = 2**30
WAYS: tuple[dict[str, Any], ...] = (
    *({"zero_stage": stage} for stage in range(4)),
    {"zero_stage": 3, "adam_offload": True},
    {"lora_rank": 16},
    {"lora_rank": 16, "load_in_4bit": True},
)
FITS, TOO_LARGE = (
    ("#0f7d5b", "white"),
    ("#dfe3e8", "#555"),
)  # a cell and its figure, told apart without colours too


@dataclass(frozen=True)
class MemoryTable:
    """What a card holds at its peak, estimated, for every way of training and number of cards.

    `frame`: way, gpus, the parts weights, gradients, optimizer, activations, logits, buffers and libraries, their `total`,
    and `host`, what all processes together keep in the machine's memory instead; all in GiB.
    """

    config: SFTConfig
    shape: memory.Shape
    frame: pd.DataFrame

    @property
    def gib(self) -> pd.DataFrame:
        """GiB of each card: ways down, cards across."""
        return self.frame.pivot(index="way", columns="gpus", values="total").loc[self.frame["way"].unique()]

    def nearest(self, gpus: int, gib: float, host: float = float("inf")) -> dict[str, Any]:
        """The change that makes these settings fit on `gpus` cards of `gib` GiB, and costs least; empty where they fit as
        they are. `host`: GiB of the machine's own memory. Raises ConfigError where no setting makes them fit."""
        config = on(self.config, gpus)

        def fits(other: SFTConfig) -> bool:
            need = _need(other, self.shape)
            return need.total <= gib * GIB and need.host * gpus <= host * GIB

        if fits(config):
            return {}
        if found := memory.nearest_that_fits(config, fits, gpu=True, quantizes=True):
            return found
        raise ConfigError(say("On {gpus} cards of {gib:g} GiB no setting makes it fit: take a smaller model, or more cards.", gpus=gpus, gib=gib))  # fmt: skip

    def figure(self, *cards: float) -> Figure:
        """The table as a picture for cards of so many GiB each (24 and 80, if none is named): what fits is green."""
        shown, cards = self.gib, cards or (24, 80)
        drawn = picture(figsize=(1.6 + 3.4 * len(cards), 0.9 + 0.36 * len(shown)), layout="constrained")
        for number, (axes, card) in enumerate(zip(drawn.subplots(1, len(cards), squeeze=False)[0], cards)):
            axes.set_title(f"{card:g} GiB", fontsize=10)
            _draw(axes, shown, card)
            axes.set_yticks(range(len(shown)), shown.index if number == 0 else [""] * len(shown))
        drawn.supxlabel("GPUs", fontsize=9)
        return drawn

    def __str__(self) -> str:
        name = f"{self.shape.parameters / 1e9:.2f}e9 weights, max_len={self.config.max_len}"
        micro = f"micro_train_batch_size={self.config.micro_train_batch_size}"
        return f"GiB of each card: {name}, {micro}\n{self.gib.round(0).astype(int).to_string()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.gib.to_html(float_format=lambda value: f"{value:.0f}")


def memory_table(
    config: SFTConfig,
    sizes: Mapping[str, Any] | str | Path | None = None,
    gpus: Sequence[int] = (1, 2, 4, 8),
    ways: Sequence[Mapping[str, Any]] = WAYS,
) -> MemoryTable:
    """The memory that a run will take of each card, on GPUs that need not be here. Nothing is loaded or fetched.

        table = sk.memory_table(config.with_(bf16=True))
        table.gib                               # GiB: a row each way of training, a column each number of cards
        table.nearest(gpus=1, gib=24)           # what to change so that it fits; {}: nothing

    - `sizes`: the model's config.json (its content, file or folder), where the model itself is not here; of a Llama-like
      model (Llama, Mistral, Qwen) that is enough.
    - `gpus`: numbers of cards.
    - `ways`: settings to be compared; those that a number of cards does not allow are left out.

    An estimate: weights, gradients and optimizer state are arithmetic, activations differ by some tens of per cent, and
    every row is taken to be `max_len` long. Raises ConfigError where the model's sizes are not known.
    """
    import pandas as pd

    shape = _shape(config, sizes)
    lines = [line for way in ways for count in gpus for line in _line(config, shape, dict(way), count)]
    return MemoryTable(config, shape, pd.DataFrame(lines))


def on(config: SFTConfig, gpus: int) -> SFTConfig:
    """The same settings on so many cards, with the nearest batch that they divide."""
    micro = config.micro_train_batch_size * gpus
    batch = micro * max(1, round(config.train_batch_size / micro))
    return config.with_(num_processes=gpus, gpus=None, train_batch_size=batch)


def tensors_of(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The tensors of a Llama-like model by name, from its config.json; none where that lacks a size."""
    try:
        hidden, inner, layers = (config[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers"))  # fmt: skip
        heads, table = config["num_attention_heads"], (config["vocab_size"], hidden)
    except KeyError:
        return {}
    head = config.get("head_dim") or hidden // heads
    keys = (config.get("num_key_value_heads") or heads) * head
    attention = {"q_proj": (heads * head, hidden), "k_proj": (keys, hidden), "v_proj": (keys, hidden), "o_proj": (hidden, heads * head)}  # fmt: skip
    mlp = {"gate_proj": (inner, hidden), "up_proj": (inner, hidden), "down_proj": (hidden, inner)}
    layer = {f"self_attn.{name}": size for name, size in attention.items()} | {f"mlp.{name}": size for name, size in mlp.items()}  # fmt: skip
    layer |= {"input_layernorm": (hidden,), "post_attention_layernorm": (hidden,)}
    found = {f"model.layers.{number}.{name}.weight": size for number in range(layers) for name, size in layer.items()}  # fmt: skip
    ends = {"model.embed_tokens.weight": table, "model.norm.weight": (hidden,)}
    return found | ends | ({} if config.get("tie_word_embeddings") else {"lm_head.weight": table})


def _shape(config: SFTConfig, sizes: Mapping[str, Any] | str | Path | None) -> memory.Shape:
    """Sizes of the model, from its files, else from what is told of it."""
    if sizes is None:
        look = Look(config, Path("runs"))
        shape = look.shape or memory.Shape.of(look.model_config, tensors_of(look.model_config))
    else:
        told = dict(sizes) if isinstance(sizes, Mapping) else _read(Path(sizes))
        shape = memory.Shape.of(told, tensors_of(told.get("text_config") or told))
    if shape is None:
        raise ConfigError(say("The sizes of {pretrain} are not known here: give its config.json as sizes.", pretrain=config.pretrain))  # fmt: skip
    return shape


def _read(path: Path) -> dict[str, Any]:
    return disk.read_json(path / "config.json" if path.is_dir() else path)


def _line(config: SFTConfig, shape: memory.Shape, way: dict[str, Any], gpus: int) -> Iterator[dict[str, Any]]:
    """One row of the frame; none where these settings cannot go together."""
    try:
        need = _need(on(config, gpus).with_(**way), shape)
    except ConfigError:
        return
    parts = {name: size / GIB for name, size in need.parts.items()}
    name = " ".join(f"{setting}={value}" for setting, value in way.items()) or "as it is"
    yield {"way": name, "gpus": gpus, **parts, "total": need.total / GIB, "host": need.host * gpus / GIB}


def _need(config: SFTConfig, shape: memory.Shape) -> memory.Estimate:
    return memory.estimate(config, shape, memory.Micro.of(config), gpu=True)


def _draw(axes: Any, shown: pd.DataFrame, card: float) -> None:
    """A cell each way and number of cards, its GiB in it."""
    for row, (_, line) in enumerate(shown.iterrows()):
        for column, size in enumerate(line):
            if size != size:
                continue
            colour, ink = FITS if size <= card else TOO_LARGE
            axes.add_patch(_cell(column, row, colour))
            axes.text(column, row, f"{size:.0f}", ha="center", va="center", color=ink, fontsize=9)
    axes.set_xlim(-0.5, shown.shape[1] - 0.5)
    axes.set_ylim(shown.shape[0] - 0.5, -0.5)
    axes.set_xticks(range(shown.shape[1]), shown.columns)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)


def _cell(column: int, row: int, colour: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.47, row - 0.45), 0.94, 0.9, color=colour, linewidth=0)
