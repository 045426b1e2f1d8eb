"""What to tell the programs that read models, so that a mount serves them well: for the files of one artifact, or in general. Pure.

Why flags at all, when an ordinary directory needs none: loaders decide by the type of a file system whether they read ahead, and
none of them knows ours. What they fault in page by page arrives in requests of 128 KiB in the order of their keys, while whole
files read in order arrive at the speed of the link. Each advice names what it changes.

Sources: vLLM model_executor/model_loader/weight_utils.py; SGLang srt/model_loader/weight_utils.py and #7469; transformers
modeling_utils.py and #45547; llama.cpp src/llama-mmap.cpp and #28223; TensorRT-LLM _torch/models/checkpoints/hf/weight_loader.py
and #17368; Triton core model_repository_manager.cc; ONNX Runtime core/graph/model.cc; huggingface_hub file_download.py and #2797.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from shlex import quote
from typing import Final, final

from msgspec import Struct

PLACE: Final = "DIR"  # where it is mounted: only the reader knows

_SPLIT: Final = re.compile(r"-(\d{5})-of-\d{5}\.gguf$")


@final
class Advice(Struct, frozen=True):
    """For one program: the command line or call, with the paths of the artifact, and why."""

    loader: str
    command: str
    reason: str


def advise(files: Sequence[str] | None) -> tuple[Advice, ...]:
    """What fits `files`, paths in the artifact; everything, where they are not known (None)."""
    shards = _ending(files, ".safetensors")
    ggufs = [path for path in _ending(files, ".gguf") if (found := _SPLIT.search(path)) is None or int(found[1]) == 1]
    graphs = _ending(files, ".onnx")
    advices: list[Advice] = []
    if files is None or shards:
        advices += _of_safetensors(_place(_model_directory(shards)))
    if files is None or ggufs:
        advices += [_of_gguf(_place(path)) for path in (ggufs or ["FILE.gguf"])]
    if files is None or graphs:
        advices += [_of_onnx(_place(path)) for path in (graphs or ["FILE.onnx"])]
    repository = _triton_repository(files)
    if files is None or repository is not None:
        advices.append(_of_triton(_place(repository or "")))
    return tuple(advices)


def _of_safetensors(directory: str) -> list[Advice]:
    return [
        Advice(
            "vLLM",
            f"HF_HUB_OFFLINE=1 vllm serve {directory} --safetensors-load-strategy=prefetch",
            "reads shards in order, 8 at once, ahead of its page faults; by itself it does so on NFS and Lustre only. --load-format"
            " runai_streamer does it, too; not --load-format npcache, which writes beside the model",
        ),
        Advice(
            "SGLang",
            f"HF_HUB_OFFLINE=1 python -m sglang.launch_server --model-path {directory} --weight-loader-prefetch-checkpoints",
            "reads shards in order, ahead of up to 32 threads that fault pages in; --weight-loader-disable-mmap reads files whole",
        ),
        Advice(
            "transformers",
            f'HF_HUB_OFFLINE=1 python …: AutoModel.from_pretrained("{directory}", disable_mmap=True)',
            "reads each shard in order; the default (mmap) faults tensors in, in the order of the model, by 4 threads",
        ),
        Advice(
            "TensorRT-LLM",
            f"HF_HUB_OFFLINE=1 trtllm-serve {directory}",
            "reads whole files by itself; TRTLLM_HF_SAFETENSORS_NO_MMAP=1 turns an I/O error into an exception instead of SIGBUS."
            " Build engines into another directory: this one is read-only",
        ),
    ]


def _of_gguf(path: str) -> Advice:
    return Advice(
        "llama.cpp",
        f"llama-server -m {path} --mmap",
        "the default: reads the file once, in order. With NUMA placement it faults 4 KiB at a time, without mmap it reads tensor by"
        " tensor. Of split files, the first is named",
    )


def _of_onnx(path: str) -> Advice:
    return Advice(
        "ONNX Runtime",
        f'onnxruntime.InferenceSession("{path}")',
        "maps external data by itself. What it writes goes elsewhere: optimized_model_filepath, trt_engine_cache_path, cache_dir",
    )


def _of_triton(repository: str) -> Advice:
    return Advice(
        "Triton",
        f"tritonserver --model-repository={repository}",
        "needs no flag: by default it looks once. Polling asks for every file every --repository-poll-secs, and reloads nothing, as"
        " times never change here",
    )


def _ending(files: Sequence[str] | None, ending: str) -> list[str]:
    return sorted(path for path in files or () if path.endswith(ending))


def _model_directory(shards: Sequence[str]) -> str:
    """The directory that most shards are in, of several the uppermost."""
    parents = [str(PurePosixPath(path).parent) for path in shards]
    return min(set(parents), key=lambda parent: (-parents.count(parent), parent.count("/"), parent), default=".")


def _triton_repository(files: Sequence[str] | None) -> str | None:
    """The directory above a model's: each model has a `config.pbtxt` and a directory for each version."""
    for path in sorted(files or ()):
        where = PurePosixPath(path)
        if where.name == "config.pbtxt" and len(where.parts) > 1:
            above = str(where.parent.parent)
            return "" if above == "." else above
    return None


def _place(path: str) -> str:
    """`path` of the artifact as it will be called, as a shell takes it."""
    return PLACE if path in ("", ".") else f"{PLACE}/{quote(path)}"
