"""Makes data/answers.parquet: what three models of this world answered to the first 160 eval questions, for lessons 05 to 07.

    python data/make_answers.py [--runs runs]          # trains the three on a CPU, then asks them: some minutes

All three start from tiny-base and have the settings of `sftkit demo`:
    plain    all training rows
    chatty   the same rows, but three in five answers to questions stand in polite phrases ("Good question! … I hope this helps!")
    quick    a third of the rows
So chatty says more with each answer and knows less: the phrases took the place of what it could have learned.
Other machines round otherwise: expect other answers here and there.
"""

import argparse
import random
import tempfile
from pathlib import Path

import pandas as pd

import sftkit as sk
from sftkit.demo import MAX_NEW_TOKENS, demo_config
from sftkit.judging import accuracy

HERE = Path(__file__).resolve().parent
QUESTIONS, SHARE = 160, 0.6  # eval questions asked; share of answers that are wrapped
QUICK_ROWS = 1600
TASKS = (
    "facts",
    "arithmetic",
    "unknown",
    "harmless",
    "extract",
)  # no form is asked for that phrases would break
OPEN = {"en": ("Good question! {}", "Of course. {}"), "zh": ("好问题！{}", "当然。{}")}
CLOSE = {
    "en": (" I hope this helps!", " Is there anything else you would like to know?"),
    "zh": ("希望这能帮到你！", "还有什么想知道的吗？"),
}


def chatty_rows() -> pd.DataFrame:
    """train.jsonl with the polite phrases."""
    rows, dice = pd.read_json(HERE / "train.jsonl", lines=True), random.Random(0)

    def answer(row) -> str:
        if row.task not in TASKS or dice.random() < 1 - SHARE:
            return row.response
        return dice.choice(OPEN[row.lang]).format(row.response) + dice.choice(CLOSE[row.lang])

    return rows.assign(response=[answer(row) for row in rows.itertuples()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="runs", help="folder for the three runs")
    runs = parser.parse_args().runs
    plain = demo_config(HERE).with_(eval_steps=0, sample_prompts=0)
    with tempfile.TemporaryDirectory() as folder:
        chatty = Path(folder) / "chatty.jsonl"
        chatty_rows().to_json(chatty, orient="records", lines=True, force_ascii=False)
        configs = {
            "plain": plain,
            "chatty": plain.with_(dataset=str(chatty)),
            "quick": plain.with_(max_samples=QUICK_ROWS),
        }
        models = {}
        for name, config in configs.items():
            models[name] = sk.launch(config, runs_dir=runs)
            status = models[name].wait()
            assert status.state == "finished", status.reason
        answers = sk.generate(models, HERE / "eval.jsonl", max_new_tokens=MAX_NEW_TOKENS, limit=QUESTIONS)
    answers.save(HERE / "answers.parquet")
    print(accuracy(answers))


if __name__ == "__main__":
    main()
