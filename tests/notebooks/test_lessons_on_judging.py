"""Lessons 05 to 07: each runs from top to bottom, and its point comes true in the store that it leaves."""

from __future__ import annotations

import ast
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from sftkit.generation import Generations
from sftkit.judging import ReferenceJudge, simulated_votes
from sftkit.ratings import RatingStore
from sftkit.report import Report, ranking, win_rate

_spec = spec_from_file_location("execute_lessons", Path(__file__).with_name("execute.py"))
lessons = module_from_spec(_spec)
_spec.loader.exec_module(lessons)

FOLDER = lessons.ROOT / "notebooks"
FAKE = "judge:fake-judge/pairwise-v2"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a lesson in a copy of the project without a key; gives the notebook, cleaned, and the store that it left."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    folder = lessons.copy_lessons(tmp_path / "project", {})

    def run(name: str) -> tuple[NotebookNode, RatingStore]:
        done = lessons.clean(lessons.execute(folder / f"notebooks/{name}.ipynb"), folder)
        assert str(tmp_path) not in nbformat.writes(done)
        return done, RatingStore(f"sqlite:///{folder}/runs/lesson-{name[:2]}/ratings.db")

    return run


@pytest.fixture
def truth():
    """The win rate of each model against `plain` by the references."""
    rows = ReferenceJudge().rate(Generations.load(lessons.ROOT / "data/answers.parquet"), progress=False)
    won = rows["verdict"].map({"a": 0.0, "b": 1.0}).fillna(0.5)
    return won.groupby(rows["model_b"]).mean()


def told(notebook: NotebookNode, kind: str = "text/plain") -> list[str]:
    """What the cells print, or show in a form."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.get("text") or output.get("data", {}).get(kind, "") for output in outputs]


def test_lesson_05_rates_blind_and_by_many(run):
    done, store = run("05_compare_and_rate")
    frame = store.frame()
    assert frame[frame["rater"] == "human:example"]["verdict"].tolist() == ["tie", "a", "retracted"]
    people = frame[frame["rater"] != "human:example"]["rater"]
    assert len(people) == 3 * 40 and people.str.startswith("human:simulated-").all(), (
        "nobody's vote is made up"
    )
    project = store.projects().iloc[0]
    assert (project["votes"], project["overlap"]) == (120, 4), "a vote is left for whoever follows the link"
    pictures = [page for page in told(done, "text/html") if "sftkit-picture" in page]
    assert len(pictures) == 3 and not any("chatty" in page for page in pictures[:2]), "blind"
    assert win_rate(store.votes(), "chatty", "plain").high < 0.5
    text = "\n".join(told(done))
    assert "ratings.csv: 123 rows; new when loaded again: 0" in text and "Did you mean task?" in text


def test_lesson_06_catches_what_was_planted(run, truth):
    done, store = run("06_gpt4_as_a_judge")
    raters = set(store.frame()["rater"])
    assert all("fake" in rater or rater == "judge:reference/v1" for rater in raters), (
        "nothing passes for GPT-4"
    )
    report = Report(store)
    card = report.bias_card[report.bias_card["rater"] == FAKE].set_index("bias")
    assert card.loc["first", "effect_low"] > 5 and card.loc["first", "effect_low"] < 20 < card.loc["first", "effect_high"]  # fmt: skip
    assert card.loc["flips", "value"] > 0.25 and card.loc["length", "effect_low"] > 0
    assert card.loc["length", "without"] == ["plain", "chatty", "quick"] != card.loc["length", "ranking"]
    said = report.win_rates.set_index(["rater", "model"])["win_rate"]
    assert said[FAKE, "chatty"] > truth["chatty"] + 0.1, "both orders do not cure a taste for length"
    assert truth["chatty"] < truth["quick"] and said[FAKE, "chatty"] > said[FAKE, "quick"]
    assert "constant" in report.alarms[0] and "padded" in report.alarms[0]
    text = "\n".join(told(done))
    assert "No key, so GPT-4 was not asked" in text and "$" in text
    assert any(
        "image/png" in output.get("data", {}) for cell in done.cells for output in cell.get("outputs", [])
    )


def test_lesson_07_sets_the_judge_right(run):
    done, store = run("07_do_they_agree")
    report = Report(store)
    people = {rater for rater in store.frame()["rater"] if rater.startswith("human:")}
    assert people == {f"human:simulated-{number}" for number in (1, 2, 3)}, (
        "votes of a rule are called simulated"
    )
    assert "no person gave them" in report.alarms[0] and report.alarms[0] in "\n".join(told(done))
    store.add_many(simulated_votes(store.answers(), raters=3))  # what they say of all 160
    all_said = Report(store).win_rates.query("rater == 'human:*'").set_index("model")["win_rate"]
    found = report.calibration.set_index("model")
    assert ((found["low"] < all_said) & (all_said < found["high"])).all()
    assert found.loc["chatty", "judge_low"] > all_said["chatty"], "the judge alone is sure and wrong"
    assert found.loc["quick", "correlation"] > found.loc["chatty", "correlation"]
    alpha = report.reliability.query("raters == 'human:*'").set_index("dimension")["alpha"]
    assert alpha["helpfulness"] < min(alpha["content_accuracy"], alpha["honesty"]) - 0.1
    means = report.score_table("human:*")
    assert (
        ranking(means)["model"][0] == "plain" and ranking(means, {"harmlessness": 1})["model"][0] == "chatty"
    )


class _Bare(ast.NodeTransformer):
    """Code without its words and without the choice of their language."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        chosen = isinstance(node.value, ast.Call) and getattr(node.value.func, "attr", "") == "set_language"
        return None if chosen else self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.keyword | None:
        return None if node.arg == "lang" else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.JoinedStr:
        kept = [part for part in node.values if not isinstance(part, ast.Constant)]
        return self.generic_visit(ast.JoinedStr(kept))


def bare(notebook: NotebookNode) -> list[str]:
    """Every code cell without comments and words (strings, and the words between an f-string's braces)."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return [ast.dump(_Bare().visit(ast.parse(source))) for source in cells]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.zh-CN.ipynb")), ids=lambda path: path.stem)
def test_a_chinese_lesson_runs_the_same_code(path):
    chinese, english = (
        nbformat.read(file, as_version=4) for file in (path, path.with_name(path.name.replace(".zh-CN", "")))
    )
    assert bare(chinese) == bare(english)
    kinds = [[cell.cell_type for cell in notebook.cells] for notebook in (chinese, english)]
    assert kinds[0] == kinds[1], "section by section the same lesson"
    for here, there in zip(chinese.cells, english.cells, strict=True):
        if here.cell_type == "markdown":
            assert any("\u4e00" <= letter <= "\u9fff" for letter in here.source), here.source[:80]
            assert here.source.count("<details>") == there.source.count("<details>")
            assert here.source.count("\n#") == there.source.count("\n#")


def test_lesson_06_in_chinese_runs_and_speaks_chinese(run):
    done, store = run("06_gpt4_as_a_judge.zh-CN")
    assert len(store.frame()) and "评审" in "\n".join([*told(done), *told(done, "text/html")])


def test_the_comparison_of_code_sees_a_difference():
    one, two, three = (
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        for source in ('f("a", n=1)  # x', 'f("b", n=1)', 'f("a", n=2)')
    )
    assert bare(one) == bare(two) != bare(three)
