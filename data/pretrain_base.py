"""Makes data/tiny-base: a small Llama, with its own tokenizer, that has read plain prose about the world of data/.

    python data/pretrain_base.py [--steps 5000] [--threads 2] [--out data/tiny-base]

It never sees a question answered, so it rambles; teaching it to answer is what the demo's fine-tuning is for.
The data are reproducible; the weights are not to the last bit (threads, processor), only in what they can do.
"""

import argparse
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from tqdm.auto import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from world.prose import documents

HERE = Path(__file__).resolve().parent
VOCABULARY, WINDOW, BATCH = 3072, 128, 8  # tokens, tokens a sequence, sequences a step
# peak learning rate, steps of warm-up, the last share of the steps in which the rate falls to zero
PEAK, WARM_UP, DECAY = 2.5e-3, 200, 0.35


def make_tokenizer(prompts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE; digits and Chinese characters stand alone, so that numbers and names are always cut alike."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d|\p{Han}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # the words of the default chat template become single tokens: five fewer in every row
    texts = itertools.chain(itertools.islice(documents(1, prompts), 30_000), ["User:\nAssistant:\n"] * 1000)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        add_bos_token=True,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def batches(tokenizer: PreTrainedTokenizerFast, prompts: list[str]) -> Iterator[torch.Tensor]:
    """[BATCH, WINDOW] token ids: documents laid end to end, each as <s> … </s>."""
    stream: list[int] = []
    need = BATCH * WINDOW
    for document in documents(2, prompts):
        stream += [*tokenizer(document).input_ids, tokenizer.eos_token_id]
        if len(stream) >= need:
            yield torch.tensor(stream[:need]).view(BATCH, WINDOW)
            stream = stream[need:]


def rate(step: int, steps: int) -> float:
    """Learning rate: up over WARM_UP steps, level, then straight down to zero over the last DECAY of the steps."""
    return PEAK * min(1.0, (step + 1) / WARM_UP, (steps - step) / (DECAY * steps))


def train(model: LlamaForCausalLM, feed: Iterator[torch.Tensor], steps: int) -> None:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.95), fused=True)
    mean = math.nan
    with tqdm(itertools.islice(feed, steps), total=steps, unit="step") as bar:
        for step, ids in enumerate(bar):
            for group in optimizer.param_groups:
                group["lr"] = rate(step, steps)
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
            bar.set_postfix(loss=f"{mean:.3f}", refresh=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=5000, help=f"of {BATCH * WINDOW} tokens; more is better")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "tiny-base")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = (HERE / "train.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = [json.loads(line)["prompt"] for line in lines]
    tokenizer = make_tokenizer(prompts)
    model = make_model(tokenizer)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens, {options.steps} steps")
    train(model, batches(tokenizer, prompts), options.steps)
    save(model, tokenizer, options.out)
    print(f"saved {options.out}")


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    path = out / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    # the class that transformers 4 and 5 both know, and the BOS said aloud for those who read the file only
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True}
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
