"""Many calls with many faults: nothing lost, nothing twice, every failure named, the kernel free, kills survived.

The long version with its figures is tests/benchmarks/judge.py. Here also: ten pairs with a real endpoint, where a key is.
"""

import importlib.util
import os
from pathlib import Path

import pytest

from sftkit.judging import Judge, replay

KEY = os.environ.get("OPENAI_API_KEY")  # read before the fixtures take it away
BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "judge.py"


@pytest.fixture(scope="module")
def scale():
    spec = importlib.util.spec_from_file_location("judge_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_is_lost_or_paid_for_twice_among_faults_and_the_kernel_stays_free(scale, tmp_path):
    peer = scale.peer_cpu()
    run = scale.with_faults(150, tmp_path)
    assert run["rows"] == run["calls"] == 300, "a row for every call"
    assert run["scored"] + sum(run["failures"].values()) == 300
    assert set(run["failures"]) == {"bad_json"}, "what can be mended by asking again was"
    assert run["statuses"]["429"] > 10 and run["statuses"]["500"] > 3 and run["hangs"] > 0, (
        "the faults were there"
    )
    assert run["answered_twice"] == 0 and run["rounds_until_all_scored"] >= 2
    assert run["late_p50"] < 0.02, f"the main thread waits {run['late_p50']:.3f} s for its turn"
    assert run["table"].equals(scale.undisturbed(150, tmp_path))
    # 1.3 of the ideal at 1,000 pairs is the benchmark's figure. In a run this short the last hang weighs most, and other
    # programs share this machine: whatever the processor does for the run may take as many times longer as they ask for
    load = max(1.0, run["load"])
    assert run["seconds"] < 1.3 * run["least"] + load * run["cpu"], (
        f"{run['seconds']:.1f} s, least {run['least']:.1f} s, {run['cpu']:.1f} s of CPU at a load of {load:.1f}"
    )
    each = run["cpu"] / run["requests"]
    assert each < 2 * peer, f"{1000 * each:.1f} ms of CPU a request, the bare client {1000 * peer:.1f} ms"


def test_killed_at_random_the_final_table_is_the_same(scale, tmp_path):
    kills = scale.killed(100, 3, tmp_path)
    assert kills["kills"] >= 1 and kills["twice"] == 0
    assert max(kills["lost"]) <= scale.CONCURRENCY, "lost: calls under way, no more"
    assert kills["table"].equals(scale.undisturbed(100, tmp_path))


@pytest.mark.skipif(
    not KEY, reason="NO OPENAI_API_KEY in the environment: the live check of 10 pairs is NOT made"
)
def test_ten_pairs_with_a_real_judge(store, make_answers, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    right = {"base": lambda i: f"{i} + 1 = {i + 1}", "tuned": lambda i: f"{i} + 1 = {i + 3}"}
    answers = make_answers(10, right, task="arithmetic")
    answers.frame["prompt"] = [[{"role": "user", "content": f"What is {i // 2} + 1?"}] for i in range(20)]
    judge = Judge(os.environ.get("SFTKIT_LIVE_JUDGE", "gpt-4.1-mini"), canaries=1)
    frame = judge.rate(answers, store, progress=False, spend_limit=0.5)
    assert len(frame) == 20 and frame["verdict"].eq("a").mean() > 0.9, frame[["verdict", "reason"]]
    assert frame["price"].gt(0).all() and replay(store)["same"].all()
