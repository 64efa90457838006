"""Why did it fail: every known failure by the real words of whoever says it.

Three kinds of texts, and none made up: provoked here with the real libraries (provoked.py); read out of the installed
libraries' sources (SOURCES), so that a new version that says it otherwise fails the test; and, for what only a GPU can
say, quoted from what people have pasted into issues (QUOTED, each with where it was seen).
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sftkit.config import SFTConfig
from sftkit.runs import causes, load_run, signatures, standing, supervisor
from sftkit.runs import folder as disk

PROVOKED = {
    "cpu_memory_of_torch": "cpu_memory", "cpu_memory_of_numpy": "cpu_memory", "cpu_memory_of_python": "cpu_memory",
    "port": "port", "port_of_torch": "port", "group_timeout": "group_timeout", "group_never_came": "group_timeout",
    "flash_attn": "flash_attn",
    "gated_model": "gated_model", "gated_model_in_our_words": "gated_model", "hub_unknown": "hub_unknown",
    "hub_unknown_in_our_words": "hub_unknown", "hub_offline": "hub_offline", "hub_offline_in_our_words": "hub_offline",
    "missing_column": "missing_column", "data_row": "data", "batch_arithmetic": "batch_arithmetic",
    "settings": "settings", "nan": "nan", "device_assert_on_cpu": "device_assert", "pad_token": "pad_token",
    "tokenizer": "tokenizer", "architecture": "architecture", "weights_cut": "weights", "weights_pointer": "weights",
    "weights_of_another": "weights", "target_modules": "target_modules", "disk_full": "disk_full",
    "disk_full_of_torch": "disk_full", "permission": "permission", "missing_file": "missing_file",
    "import_error": "import_error", "too_many_files": "too_many_files", "unknown": "unknown",
}  # fmt: skip

# (cause, file in an installed package, words there that end up in the message)
SOURCES = [
    ("flash_attn", "transformers/modeling_utils.py", "has been toggled on, but it cannot be used due to the following error:"),
    ("gated_model", "transformers/utils/hub.py", "You are trying to access a gated repo."),
    ("gated_model", "huggingface_hub/utils/_http.py", "Cannot access gated repo for url "),
    ("hub_unknown", "huggingface_hub/utils/_http.py", "Repository Not Found for url: "),
    ("hub_unknown", "transformers/utils/hub.py", "is not a local folder and is not a valid model identifier "),
    ("hub_offline", "huggingface_hub/utils/_http.py", "offline mode is enabled. To disable it, please unset the `HF_HUB_OFFLINE`"),
    ("bf16", "deepspeed/runtime/engine.py", "Type bf16 is not supported on your device."),
    ("bf16", "deepspeed/runtime/engine.py", "Type fp16 is not supported on your device."),
    ("nan", "deepspeed/runtime/fp16/loss_scaler.py", "Current loss scale already at minimum"),
    ("offload_build", "deepspeed/ops/op_builder/builder.py", "CUDA_HOME does not exist, unable to compile CUDA op(s)"),
    ("offload_build", "deepspeed/ops/op_builder/builder.py", "op due to ninja not being installed."),
    ("pad_token", "transformers/tokenization_utils_base.py", "does not have a padding token."),
    ("architecture", "transformers/models/auto/configuration_auto.py", "but Transformers does not recognize this architecture."),
    ("other_checkpoint", "sftkit/training/checkpoints.py", "belongs to another run: "),
    ("checkpoints_there", "sftkit/training/checkpoints.py", "holds checkpoints already."),
    ("tracker", "sftkit/training/trackers.py", "or leave it out of report_to"),
    ("gated_model", "sftkit/data/hub.py", "is gated, and "),
    ("batch_arithmetic", "sftkit/conflicts.py", "is no multiple of "),
]  # fmt: skip

OOM = (
    "CUDA out of memory. Tried to allocate 260.00 MiB. GPU 7 has a total capacity of 139.81 GiB of which 52.94 MiB is free. "
    "Including non-PyTorch memory, this process has 139.75 GiB memory in use. Of the allocated memory 137.01 GiB is allocated "
    "by PyTorch, and 1.28 GiB is reserved by PyTorch but unallocated."
)
ASYNCHRONOUS = "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect."
# (cause, exception, message, where it was seen); an exception of None: printed to the log, then the process aborts.
QUOTED = [
    ("gpu_memory", "OutOfMemoryError", OOM, "MoonshotAI/Kimi-Audio 146"),
    ("gpu_memory", "RuntimeError", "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 1.96 GiB total capacity; 923.43 MiB already allocated; 15.62 MiB free; 954.00 MiB reserved in total by PyTorch)", "anhaidgroup/deepmatcher 74"),
    ("group_timeout", None, "[rank0]:[E321 02:07:08.408271257 ProcessGroupNCCL.cpp:607] [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1580, OpType=ALLREDUCE, NumelIn=466119168, NumelOut=466119168, Timeout(ms)=600000) ran for 600060 milliseconds before timing out.", "hiyouga/LlamaFactory 7396"),
    ("nccl", "DistBackendError", "NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1333, unhandled system error (run with NCCL_DEBUG=INFO for details), NCCL version 2.18.6\nncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error. \nLast error:\nsocketStartConnect: Connect to 192.168.19.14<52822> failed : No route to host", "hkproj/pytorch-transformer-distributed 1"),
    ("no_kernel_image", "RuntimeError", "CUDA error: no kernel image is available for execution on the device" + ASYNCHRONOUS, "MIC-DKFZ/nnUNet 1040"),
    ("cuda_driver", "RuntimeError", "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx", "lllyasviel/Fooocus 1313"),
    ("gpu_fault", "RuntimeError", "CUDA error: uncorrectable ECC error encountered\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.", "tloen/alpaca-lora 123"),
    ("gpu_fault", None, "[E ProcessGroupNCCL.cpp:916] [Rank 1] NCCL watchdog thread terminated with exception: CUDA error: uncorrectable ECC error encountered", "kohya-ss/sd-scripts 1434"),
    ("device_assert", "RuntimeError", "CUDA error: device-side assert triggered" + ASYNCHRONOUS, "shibing624/MedicalGPT 275"),
]  # fmt: skip


@pytest.fixture(scope="module")
def provoked(tmp_path_factory, tiny_model):
    folder = tmp_path_factory.mktemp("provoked") / "m"
    shutil.copytree(tiny_model, folder)
    script = Path(__file__).with_name("provoked.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "provoked.json").read_text())


@pytest.fixture
def config():
    return SFTConfig(
        pretrain="m",
        dataset="d.jsonl",
        gpus=[0, 1],
        train_batch_size=64,
        micro_train_batch_size=8,
        max_len=4096,
    )


def failed(folder, rank=0, log="", **error):
    """A run in which `rank` died: of an exception, or with its last words in its log only."""
    folder.mkdir(parents=True, exist_ok=True)
    if error:
        told = {"traceback": f"Traceback:\n{error['type']}: {error['message']}"} | error | {"time": 1.0}
        causes.error_file(folder, rank).write_text(json.dumps(told))
        return causes.first_cause(folder, {rank: 1})
    causes.rank_log(folder, rank).write_text(log)
    return causes.first_cause(folder, {rank: -6})


def test_everything_provoked_is_listed(provoked):
    assert provoked.keys() == PROVOKED.keys()
    assert not [name for name, error in provoked.items() if error["type"] == "nothing"]


@pytest.mark.parametrize("name", PROVOKED)
def test_provoked(provoked, name, tmp_path, config):
    error = provoked[name]
    found = signatures.diagnose(tmp_path, failed(tmp_path, **error), config)
    assert found.cause == PROVOKED[name], f"{error['type']}: {error['message']}"
    assert found.evidence == error["traceback"]
    assert signatures.title(failed(tmp_path, **error)) in (
        found.title,
        causes.first_cause(tmp_path, {0: 1})[:80],
    )


@pytest.mark.parametrize(("cause", "file", "words"), SOURCES)
def test_words_of_the_installed_libraries(cause, file, words, tmp_path, config):
    package = importlib.util.find_spec(file.partition("/")[0]).submodule_search_locations[0]
    source = re.sub(r'"\s+f?"', "", (Path(package).parent / file).read_text(encoding="utf-8"))
    assert words in source, f"{file} says it otherwise now"
    reason = failed(tmp_path, type="RuntimeError", message=f"before {words} after")
    assert signatures.diagnose(tmp_path, reason, config).cause == cause


@pytest.mark.parametrize(("cause", "error", "message", "seen"), QUOTED, ids=[entry[3] for entry in QUOTED])
def test_words_of_gpus(cause, error, message, seen, tmp_path, config):
    said = {"type": error, "message": message} if error else {}
    noise = "\n".join(f"an ordinary line {n}" for n in range(500))
    reason = failed(tmp_path, rank=3, log=f"{noise}\n{message}\nterminate called\n", **said)
    found = signatures.diagnose(tmp_path, reason, config)
    assert found.cause == cause
    assert message.splitlines()[0] in found.evidence
    assert "ordinary line 3\n" not in found.evidence


def test_memory_says_its_figures_and_offers_what_helps_first(tmp_path, config):
    found = signatures.diagnose(tmp_path, failed(tmp_path, type="OutOfMemoryError", message=OOM), config)
    assert "It asked for 260.00 MiB more; of 139.81 GiB, 52.94 MiB were free." in found.explanation
    changes = [fix.fix for fix in found.fixes]
    assert changes == [
        {"micro_train_batch_size": 4}, {"gradient_checkpointing": True}, {"zero_stage": 3}, {"adam_offload": True},
        {"lora_rank": 16}, {"max_len": 2048},
    ]  # fmt: skip
    assert "Changes that may mend it:\n  - Set micro_train_batch_size=4" in str(found)
    tried = config.with_(
        micro_train_batch_size=1, gradient_checkpointing=True, zero_stage=3, adam_offload=True
    )
    left = signatures.diagnose(tmp_path, causes.first_cause(tmp_path, {0: 1}), tried).fixes
    assert [fix.fix for fix in left] == [{"lora_rank": 16}, {"max_len": 2048}]


@pytest.mark.parametrize("entry", [*signatures.WORDS, *signatures.ENDS], ids=lambda entry: entry.cause)
def test_every_change_makes_other_valid_settings(entry, config):
    """Whatever the settings are: odd batches, LoRA, fp16, one process."""
    sample = re.search(
        r"(?P<setting>x)?(?P<columns>y)?(?P<near>z)?(?P<name>)", ""
    )  # the groups that wishes may ask for
    others = [
        config,
        config.with_(gpus=None, micro_train_batch_size=1),
        config.with_(lora_rank=8, save_steps=10, load_checkpoint=True, ckpt_path="c", save_path="s", report_to=["wandb"]),
        config.with_(gpus=None, num_processes=3, train_batch_size=45, micro_train_batch_size=5, bf16=False, fp16=True),
    ]  # fmt: skip
    if entry.cause == "missing_column":
        text = "no column 'q' (input_key). Columns: instruction, input, output. Did you mean 'input'?"
        sample = entry.match(text)
    for settings in others:
        for fix in signatures.fixes.sound(settings, entry.wishes(settings, sample)):
            assert fix.apply(settings) != settings
            assert fix.fix_label and fix.message and fix.field in fix.fix


def test_a_missing_column_is_mapped(provoked, tmp_path, config):
    found = signatures.diagnose(tmp_path, failed(tmp_path, **provoked["missing_column"]), config)
    assert "They have instruction, output." in found.explanation
    assert {"input_key": "instruction"} in [fix.fix for fix in found.fixes]
    assert {"input_key": "instruction", "output_key": "output"} in [fix.fix for fix in found.fixes]


def test_an_unknown_failure_shows_the_first_exception_of_the_first_rank(tmp_path, config):
    """Not the last line of the launcher, nor what the others said when it was gone."""
    (tmp_path / disk.LOG).write_text("torch.distributed.elastic ... ChildFailedError: worker FAILED\n")
    failed(tmp_path, rank=0, type="RuntimeError", message="[gloo] Connection closed by peer")
    failed(
        tmp_path,
        rank=2,
        type="LookupError",
        message="the tide\nis out",
        traceback="Traceback: pier.py\nLookupError: the tide",
    )
    reason = causes.first_cause(tmp_path, {0: 1, 2: 1})
    found = signatures.diagnose(tmp_path, reason, config)
    assert (found.cause, found.title) == ("unknown", "LookupError: the tide")
    assert found.evidence == "Traceback: pier.py\nLookupError: the tide" and found.fixes == ()


def test_a_cause_hidden_behind_another_exception_is_found(tmp_path, config):
    traceback = "Traceback\nOSError: [Errno 28] No space left on device\n\nDuring handling …\n\nTraceback\nRuntimeError: saving failed"
    found = signatures.diagnose(
        tmp_path, failed(tmp_path, type="RuntimeError", message="saving failed", traceback=traceback), config
    )
    assert found.cause == "disk_full"


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (standing.GONE, "processes_killed"),
        (standing.RESTARTED.format(state="running"), "machine_restarted"),
        (standing.SILENT.format(host="h", minutes=20), "machine_silent"),
        (standing.BROKE_OFF, "launch_broke_off"),
        (standing.DELETED, "folder_deleted"),
        (causes.hung(700, []), "hung"),
        ("rank 1 was ended by SIGKILL: killed from outside or out of memory", "killed"),
        ("rank 1 on h was ended by SIGKILL: the machine ran out of memory (the kernel's OOM killer was at work)", "cpu_memory"),
        ("rank 0 was ended by SIGBUS: no room left in shared memory", "shared_memory"),
        ("rank 0 was ended by SIGSEGV: a crash in native code; train.log says where", "native_crash"),
        ("ended by SIGTERM", "asked_to_end"),
        ("rank 0 left with exit code 1: " + causes.DISK_FULL, "disk_full"),
        ("the ranks left without a word on how the run ended", "silent"),
        ("the program that starts the ranks left with exit code 1: x", "starter"),
    ],
)  # fmt: skip
def test_ends_without_words(tmp_path, reason, cause):
    """A log full of other people's words does not change what is plainly known."""
    (tmp_path / disk.LOG).write_text("")
    (tmp_path / "rank-0.log").write_text("flash-attn is not installed: the run uses sdpa\n")
    found = signatures.diagnose(tmp_path, reason)
    assert found.cause == cause and found.title and found.explanation
    assert signatures.title(reason) == found.title


def test_far_starters_are_looked_up_in_their_own_log(tmp_path):
    (tmp_path / disk.LOG).write_text("nothing\n")
    causes.starter_log(tmp_path).write_text(
        "node2: Host key verification failed.\npdsh@node1: node2: ssh exited with exit code 255\n"
    )
    found = signatures.diagnose(tmp_path, causes.not_started(tmp_path, 1))
    assert found.cause == "ssh" and "Host key verification" in found.evidence


def test_reasons_are_those_that_are_written(tmp_path):
    """The patterns follow the supervisor's and the run's own words: every end is told by one of them."""
    written = Path(supervisor.__file__).read_text(encoding="utf-8")
    for words in (
        "the run folder was deleted",
        "left without a word on how the run ended",
        "ended by SIGTERM",
    ):
        assert words in written


def test_only_failed_runs_have_a_diagnosis(fake_launch, tmp_path):
    run = fake_launch()
    run.wait(20)
    assert run.diagnosis is None
    bad = fake_launch(steps=50, fault="raise", num_processes=2)
    bad.wait(20)
    assert (
        bad.diagnosis.title == "ValueError: row 7 has no answer"
        and "fake_worker.py" in bad.diagnosis.evidence
    )
    record = bad.record
    disk.write_json(bad.folder / "run.json", record | {"config": {"pretrain": 3}})
    assert load_run(bad.folder).diagnosis.fixes == ()
    disk.write_json(bad.folder / "run.json", record)


def test_every_cause_is_tried():
    tried = {*PROVOKED.values(), *(entry[0] for entry in SOURCES), *(entry[0] for entry in QUOTED), "ssh"}
    by_end = {entry.cause for entry in signatures.ENDS}
    assert set(signatures.CAUSES) - tried - by_end == {"gpu_id"}  # nobody has pasted it for us yet
