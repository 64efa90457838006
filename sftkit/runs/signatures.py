"""Why a run failed: its words matched with the failures that are known, each with its cause, what to do, and changes of
settings that mend it. What is not known keeps its first exception as it stands.

The patterns are written against the texts of the libraries themselves; tests/runs/test_signatures.py provokes those
that a machine without GPUs can, and quotes the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sftkit.config import SFTConfig
from sftkit.runs import causes, fixes
from sftkit.runs.causes import Diagnosis
from sftkit.wording import say

LOG_LINES = 80  # of a rank that left no exception
AROUND = 3  # lines of the log shown around the one that tells
EVIDENCE = 8_000  # characters


@dataclass(frozen=True)
class Signature:
    """A failure that is known. `pattern` is looked for in the run's words; its named groups may stand in `explanation`."""

    cause: str
    title: str
    pattern: str
    explanation: str
    wishes: Callable[[SFTConfig, re.Match[str]], fixes.Wishes] = fixes.none

    def match(self, text: str) -> re.Match[str] | None:
        return re.search(self.pattern, text, re.IGNORECASE)


NO_MEMORY = "The processes of the run, or others beside them, took all the memory of this machine (or all that its container may take). Close what else is running, or take one of the changes."
S = Signature
# Found in an exception's words or in a log. The first that fits counts: the special ones stand before the general.
WORDS = (
    S("gpu_memory", "The GPU ran out of memory",
      r"CUDA out of memory(?:\. Tried to allocate (?P<asked>[\d.]+ \w+))?(?:.*?total capacity of (?P<total>[\d.]+ \w+) of which (?P<free>[\d.]+ \w+) is free)?"
      r"|CUDA error: out of memory|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED|HIP out of memory|CUDNN_STATUS_ALLOC_FAILED",
      "The weights, the optimizer's state and the activations of one micro-batch do not fit on the card.{gpu_figures} Take one of the changes, the upper ones first; another program on the same card takes memory too.",
      fixes.less_gpu_memory),
    S("disk_full", "The disk is full",
      r"No space left on device|\[Errno 28\]|os error 28|Disk quota exceeded|\[Errno 122\]|no space is left on the disk|PytorchStreamWriter failed writing|unexpected pos \d+ vs \d+|basic_ios::clear: iostream error",
      "There was no room left for a file of the run. Make room (sk.list_runs() shows the size of every run, run.delete() frees it), or save to another disk; then run.resume() goes on from the last complete checkpoint.",
      fixes.smaller_on_disk),
    S("cpu_memory", "The machine ran out of memory",
      r"DefaultCPUAllocator: (?:can't allocate|not enough) memory|std::bad_alloc|Cannot allocate memory|\[Errno 12\]|\bMemoryError\b|ArrayMemoryError|Unable to allocate [\d.]+ \wiB|OOM killer",
      NO_MEMORY,
      fixes.less_cpu_memory),
    S("port", "The port was taken",
      r"EADDRINUSE|address already in use|\[Errno 98\]|failed to bind to",
      "The processes meet at a port of this machine, and another program took it between the choice and the start. Every start chooses a new one: start the run once more."),
    S("missing_column", "A column is missing in the data",
      r"no column '(?P<name>[^']*)' \((?P<setting>\w+)\)\. Columns: (?P<columns>.*?)\.(?: Did you mean '(?P<near>[^']*)'\?|\s|$)",
      "The setting {setting} names the column {name}, which the data do not have. They have {columns}.",
      fixes.column),
    S("batch_arithmetic", "The batch does not divide evenly",
      r"is no multiple of |Check batch related parameters|train_batch_size .{0,40}(?:not|is not) (?:divisible|equal)",
      "train_batch_size must be a multiple of micro_train_batch_size x processes: each process takes the same number of micro-batches in every step.",
      fixes.batch),
    S("flash_attn", "flash-attn cannot be used here",
      r"has been toggled on, but it cannot be used|No module named 'flash_attn|flash_attention_\d needs|flash_attn[\w.\-/]*\.so: undefined symbol|does not support Flash Attention|FlashAttention only supports (?:Ampere|fp16)",
      "The package flash-attn is not installed, or it does not fit this card, this torch or this number format. Nothing is lost without it: torch's own attention gives the same result.",
      fixes.no_flash),
    S("gated_model", "The model is gated",
      r"access(?:ing)? (?:a )?gated repo|Cannot access gated repo|GatedRepoError|Access to model (?P<repo>\S+) is restricted|is gated, and",
      "Its owner wants to be asked first. Open its page on the hub, accept the terms with your account, make a token there, and put it into the environment of this notebook as HF_TOKEN before you launch again."),
    S("hub_unknown", "The hub does not know that name",
      r"RepositoryNotFoundError|Repository Not Found for url|is not a local folder and is not a valid model identifier|is no data set on the hub",
      "Neither a folder here nor a public model or data set on the hub has that name; a private one needs HF_TOKEN in the environment. Check the spelling."),
    S("hub_offline", "The hub could not be reached",
      r"OfflineModeIsEnabled|offline mode is enabled|couldn't connect to 'https?://|LocalEntryNotFoundError|cannot find the (?:requested files|appropriate snapshot)|Max retries exceeded with url|Temporary failure in name resolution|NameResolutionError|Name or service not known|Couldn't reach .{0,80}on the Hub|Failed to establish a new connection",
      "The model or the data had to be fetched from the hub, and it did not answer: no network, a proxy, or HF_HUB_OFFLINE is set. Fetch it once where there is a network, or name a folder on this machine."),
    S("group_timeout", "The processes waited for each other in vain",
      r"Watchdog caught collective operation timeout|collective operation timeout|Timed out waiting \d+ ?ms for (?:recv|send)|Timed out waiting \d+ ?ms|monitoredBarrier|Gloo connectFullMesh failed|client socket has timed out|Socket Timeout|wait timeout after \d+ ?ms|Timed out initializing process group",
      "One process stood still, or died without a word, or never came, and the others gave up. Look in the log for the rank that said something else last; between hosts, check that they reach each other (firewall, NCCL_SOCKET_IFNAME). run.resume() goes on from the last checkpoint."),
    S("gpu_fault", "The GPU itself failed",
      r"uncorrectable ECC error|GPU has fallen off the bus|GPU is lost|unspecified launch failure|cudaErrorHardwareStackError|NVLink error|Xid \d+",
      "The driver reports a fault of the card. Resume on another one; if it comes back, the machine needs a restart or the card a repair."),
    S("nccl", "The GPUs could not talk to each other",
      r"NCCL error|ncclSystemError|ncclUnhandledCudaError|ncclInternalError|ncclRemoteError|ncclInvalidUsage|unhandled (?:system|cuda) error",
      "NCCL, which carries data between the cards, gave up: often too little shared memory (/dev/shm; in Docker --shm-size or --ipc=host), the wrong network interface between hosts (NCCL_SOCKET_IFNAME), or one card used by two processes. NCCL_DEBUG=INFO in the environment makes it say more."),
    S("nan", "The loss blew up",
      r"(?:loss|gradient's norm) became (?:nan|-?inf)|the loss rose to|loss scale.{0,40}minimum|Current loss scale already at minimum",
      "The numbers of the training left their range or the model forgot what it knew. The run was ended before it could spoil the weights further. Usually the learning rate is too high, or a few rows of the step, which the message names, are not what they should be.",
      fixes.slower),
    S("cuda_driver", "The GPU driver does not fit this torch",
      r"NVIDIA driver on your system is too old(?: \(found version (?P<version>\d+)\))?|CUDA driver version is insufficient|Found no NVIDIA driver|CUDA driver initialization failed|forward compatibility was attempted|no CUDA-capable device is detected|libcuda\.so|CUDA unknown error",
      "torch was built for a newer CUDA than the driver of this machine knows, or finds no driver at all. Update the driver, or install the torch built for the CUDA that nvidia-smi shows (https://pytorch.org)."),
    S("no_kernel_image", "This torch has no code for this GPU",
      r"no kernel image is available|is not compatible with the current PyTorch installation|cudaErrorNoKernelImageForDevice|CUDA error: invalid device function",
      "The card is newer, or older, than those that this torch was built for. Install a torch for its compute capability (https://pytorch.org)."),
    S("gpu_id", "There is no such GPU",
      r"invalid device ordinal|device ordinal out of range|CUDA devices? .{0,30}(?:busy or unavailable)|all CUDA-capable devices are busy",
      "A process asked for a card that is not there, not given to it (CUDA_VISIBLE_DEVICES), or held by somebody alone.",
      fixes.first_gpu),
    S("bf16", "This device does not compute in bfloat16",
      r"bf16 is not supported|doesn't support bf16|bfloat16 is (?:only|not) supported|not implemented for 'BFloat16'|fp16 is not supported|not implemented for 'Half'|float16 needs a GPU",
      "The card or the CPU has no arithmetic in that number format.",
      fixes.other_numbers),
    S("device_assert", "A token id is larger than the model's table",
      r"device-side assert triggered|srcIndex < srcSelectDimSize|index out of range in self|ids reach up to \d+|CUBLAS_STATUS_NOT_INITIALIZED",
      "The data hold a token that the embedding has no row for: tokenizer and model do not belong together, or tokens were added without making the embedding larger. Use the tokenizer that came with the model."),
    S("pad_token", "The tokenizer has no padding token",
      r"does not have a padding token",
      "Something pads rows with this tokenizer. Give its tokenizer_config.json a pad_token; the end token will do."),
    S("tokenizer", "The tokenizer cannot be loaded",
      r"Couldn't instantiate the backend tokenizer|Tokenizer class \S+ does not exist|tokenizer\.json.{0,80}(?:cannot be read|is not JSON)|data did not match any variant of untagged enum|needs? sentencepiece",
      "The model's folder has no tokenizer.json that the installed tokenizers reads. Copy the folder whole, or save the tokenizer once with a current transformers."),
    S("architecture", "This transformers does not know the model",
      r"does not recognize this architecture|has model type `?(?P<type>[\w-]+)|trust_remote_code|cannot be trained yet",
      "The model's config.json names an architecture that the installed transformers does not have. A newer transformers may; check also that the file is the model's own."),
    S("weights", "The model's weights are damaged or do not fit",
      r"Error while deserializing header|HeaderTooLarge|InvalidHeader|MetadataIncompleteBuffer|PytorchStreamReader failed|size mismatch for|invalid load key|git-lfs|safetensors_rust\.SafetensorError|no file named .{0,60}(?:safetensors|pytorch_model)",
      "A file of weights is cut short (a download that broke off, a pointer of git-lfs instead of the file) or belongs to another model. Fetch the folder anew."),
    S("offload_build", "The code for offloading could not be built",
      r"Unable to JIT load|CUDA_HOME does not exist|Error building extension|Ninja is required|ninja not being installed|nvcc.{0,20}not found|MissingCUDAException",
      "DeepSpeed compiles that part at first use, and the compiler, ninja or the CUDA toolkit is not here.",
      fixes.no_offload),
    S("target_modules", "LoRA found no layer of that name",
      r"Target modules .{0,200}not found in the base model|target_modules: ",
      "target_modules names layers that this model does not have.",
      fixes.plain_model_layers),
    S("other_checkpoint", "The checkpoint is of another run",
      r"belongs to another run",
      "Settings, data or model have changed since that checkpoint was saved, so that going on from it would train something else. The message names what differs.",
      fixes.fresh_start),
    S("checkpoints_there", "The folder holds checkpoints already",
      r"holds checkpoints already",
      "A new run would mix its checkpoints with those.",
      fixes.go_on),
    S("tracker", "A tracker is missing or not logged in",
      r"or leave it out of report_to|wandb\.errors|api_key not configured|No API key configured|MlflowException",
      "report_to names a tracker that is not installed, or has no key in the environment.",
      fixes.no_tracker),
    S("permission", "A file or folder may not be written or read",
      r"\[Errno 13\]|Permission denied(?! \(publickey)|\[Errno 30\]|Read-only file system|\[Errno 1\] Operation not permitted",
      "The system refuses: the folder belongs to somebody else or is read-only. Name another place, or have the rights changed.",
      fixes.another_place),
    S("ssh", "A host could not be entered",
      r"Permission denied \(publickey|Host key verification failed|pdsh: command not found|Could not resolve hostname|srun: error",
      "The program that starts the processes on other hosts could not get in. Log in by hand once (ssh HOST true must work without a question), and check the names in the hostfile."),
    S("too_many_files", "Too many open files",
      r"Too many open files|\[Errno 24\]",
      "The limit of this login is reached: raise it with ulimit -n before JupyterLab is started."),
    S("missing_file", "A file is not there",
      r"DataError: .{0,300}no such (?:file|model folder)|FileNotFoundError|\[Errno 2\]",
      "It was moved or deleted between the launch and its use, or lies on a disk that this machine does not have."),
    S("import_error", "A package is missing or does not fit",
      r"No module named '(?P<module>[\w.]+)'|ImportError: cannot import name|undefined symbol|version `?GLIBC\S* not found|cannot open shared object file",
      "The Python that trains lacks a package, or two of its packages were built for each other's other versions. Install what the message names into that environment."),
    S("data", "The data cannot be used",
      r"\bDataError: ",
      "The message names the file, the row and the field. Mend it there, or leave the row out."),
    S("settings", "A setting does not work here",
      r"\bConfigError: ",
      "The message names it and what to do."),
)  # fmt: skip
# Found in the reason itself: how the processes ended, where nothing else tells why.
ENDS = (
    S("memory_cap", "The run reached its memory cap", r"a run may take (?P<limit>[\d.]+ GiB) here",
      "A run may take {limit} of memory here (SFTKIT_MEMORY_GB, or sk.teach): so it was set for this class or machine, to leave room for everybody. Take one of the changes, or ask for a larger cap.",
      fixes.less_cpu_memory),
    S("cpu_memory", "The machine ran out of memory", r"OOM killer",
      NO_MEMORY, fixes.less_cpu_memory),
    S("killed", "A process was killed", r"was ended by SIGKILL",
      "Somebody or something ended it at once: a person (kill -9), a job scheduler at its limit, or a container at its memory limit. Nothing is wrong with the run itself: run.resume() goes on from the last checkpoint. If it happens again at the same point, it is the memory.", fixes.less_cpu_memory),
    S("asked_to_end", "The run was asked to end", r"SIGTERM|SIGINT",
      "The signal came from outside: a machine shutting down, a job scheduler at its time limit, or a person. run.resume() goes on from the last checkpoint."),
    S("shared_memory", "Shared memory is full", r"SIGBUS",
      "No room was left in /dev/shm, or in a file mapped to memory: in Docker start the container with --shm-size=8g or --ipc=host; on a full disk make room."),
    S("native_crash", "A native library crashed", r"SIG(?:SEGV|ABRT|ILL|FPE)|signal \d+",
      "Not Python but a library beneath it ended the process; the log shows the place. Often two packages do not fit each other: compare the versions in run.json with those that worked."),
    S("hung", "The run stood still", r"^hung:",
      "No step was finished for the time that is allowed (SFTKIT_HEARTBEAT_LIMIT, in seconds). A process may wait for another one, for a disk, or be suspended. run.resume() goes on from the last checkpoint."),
    S("machine_restarted", "The machine was restarted", r"the machine was restarted",
      "All processes ended with it, and the run could say nothing more. run.resume() goes on from the last checkpoint."),
    S("machine_silent", "The other machine is silent", r"no word from",
      "The run lives on another machine, from which nothing has come for a long time: it is off, or the shared disk or the network is gone. If it comes back, the run shows its true state again."),
    S("processes_killed", "All processes of the run were killed", r"processes are gone",
      "They were ended from outside, the one that watches them first, so that the run could say nothing more. run.resume() goes on from the last checkpoint."),
    S("launch_broke_off", "The launch broke off", r"launch broke off",
      "The run's folder was made, but its processes never started. Launch it anew; this one can be deleted."),
    S("folder_deleted", "The run's folder was deleted", r"run folder was deleted",
      "Somebody removed it while the run was writing to it; its processes were ended."),
    S("starter", "The program that starts the processes failed", r"program that starts the ranks left",
      "DeepSpeed's launcher or srun could not start them; its own words are in the log."),
    S("silent", "The processes left without a word", r"left without a word",
      "They ended with success before the run was over. The log shows the last they said."),
)  # fmt: skip
CAUSES = {entry.cause: entry.title for entry in (*ENDS, *WORDS)}  # key -> title
WITHOUT_LOG = ("memory_cap", "hung", "machine_restarted", "machine_silent", "processes_killed", "launch_broke_off", "folder_deleted")  # fmt: skip
UNKNOWN = "It is none of the failures that are known here. What the process said first is above; its log says where."


def diagnose(folder: Path, reason: str, config: SFTConfig | None = None) -> Diagnosis:
    """What is known of the failure of the run in `folder`, whose status gives `reason`. `config`: for the fixes."""
    end = next((entry for entry in ENDS if entry.match(reason)), None)
    words = causes.last_words(folder, reason)
    if end is None or end.cause not in WITHOUT_LOG:
        for text in _texts(reason, words):
            for entry in WORDS:
                if found := entry.match(text):
                    return _diagnosis(entry, found, words, config)
    if end and (found := end.match(reason)):
        return _diagnosis(end, found, words, config)
    title = words.exception.partition("\n")[0] if words.exception else reason
    return Diagnosis("unknown", title[:200] or say("The run failed"), say(UNKNOWN), _tail(words.raw), ())


def title(reason: str) -> str:
    """The title of a failure by its reason alone, for a table of many runs."""
    for entry in (ENDS[0], *WORDS, *ENDS):  # the cap is told behind what the libraries said
        if entry.match(reason):
            return entry.title
    return reason[:80]


def _texts(reason: str, words: causes.Words) -> Iterator[str]:
    """What may tell the cause, the surest first. A log is looked at only where there is no exception."""
    if words.exception:
        yield words.exception
        yield from words.chain
        return
    if "SIGKILL" not in reason:
        yield reason
        yield "\n".join(words.raw.splitlines()[-LOG_LINES:])


def _diagnosis(entry: Signature, found: re.Match[str], words: causes.Words, config: SFTConfig | None) -> Diagnosis:  # fmt: skip
    groups = {name: value or "" for name, value in found.groupdict().items()}
    figures = say(" It asked for {asked} more; of {total}, {free} were free.", **groups) if groups.get("free") else ""  # fmt: skip
    explanation = say(entry.explanation, **groups, gpu_figures=figures)
    mends = fixes.sound(config, entry.wishes(config, found)) if config else ()
    return Diagnosis(entry.cause, say(entry.title), explanation, _evidence(entry, words), mends, groups)


def _evidence(entry: Signature, words: causes.Words) -> str:
    """The raw lines around the last one that tells, else the end of what was said."""
    lines = words.raw.splitlines()
    telling = [number for number, line in enumerate(lines) if entry.match(line)]
    if words.exception or not telling:
        return _tail(words.raw)
    first, last = max(0, telling[0] - AROUND), telling[-1] + AROUND + 1
    return _tail("\n".join(lines[first:last]))


def _tail(text: str) -> str:
    return text if len(text) <= EVIDENCE else "…\n" + text[-EVIDENCE:].partition("\n")[2]


def of_run(folder: Path, reason: str, settings: dict | None) -> Diagnosis:
    """`diagnose` with settings as run.json has them, which may be damaged."""
    try:
        config = SFTConfig.from_dict(settings) if settings else None
    except (ValueError, TypeError):
        config = None
    return diagnose(folder, reason, config)
