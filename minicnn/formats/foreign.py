"""Files that minicnn does not read, called what they are: a sentence on each, with what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from minicnn.formats.containers.files import escape
from minicnn.formats.sample import Sample

__all__ = ["describe_folder", "describe_foreign"]

_FETCH = "fetch the file again, and look at its size"
_EXPORT = "where it was made, export the network to ONNX"

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "packed by gzip; unpack it first, as gunzip does"),
    (b"BZh", "packed by bzip2; unpack it first, as bunzip2 does"),
    (b"\xfd7zXZ\0", "packed by xz; unpack it first, as unxz does"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd; unpack it first, as unzstd does"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and name a file in it"),
    (b"Rar!", "a rar archive; unpack it and name a file in it"),
    (b"\xff\xd8\xff", "a JPEG picture; pictures are given as IMAGE, networks as --net"),
    (b"\x89PNG", "a PNG picture; pictures are given as IMAGE, networks as --net"),
    (b"GIF8", "a GIF picture; pictures are given as IMAGE, networks as --net"),
    (b"BM", "a BMP picture; pictures are given as IMAGE, networks as --net"),
    (b"II*\0", "a TIFF picture; pictures are given as IMAGE, networks as --net"),
    (b"RIFF", "a WebP picture or a sound; pictures are given as IMAGE, networks as --net"),
    (b"%PDF", "a PDF document; name the file of the weights"),
    (b"\x7fELF", "a program or library of Linux; name the file of the weights"),
    (b"MZ", "a program or library of Windows; name the file of the weights"),
    (b"SQLite format 3", "an SQLite database; name the file of the weights"),
    (b"GGUF", f"a GGUF file, with quantised weights for llama.cpp; {_EXPORT}"),
    (b"lmgg", f"a GGML file, with quantised weights; {_EXPORT}"),
    (b"ptrt", f"a TensorRT engine, compiled for one GPU; {_EXPORT}, from which it was built"),
    (b"ftrt", f"a TensorRT engine, compiled for one GPU; {_EXPORT}, from which it was built"),
    (b"\x12\x01\0\0\0\0\0\0", f"a file of MXNet's parameters; {_EXPORT}"),
    (b"\x04\0\0\0\x01\0\0\0", f"a file of Torch7 (Lua); {_EXPORT}, or load and save it with PyTorch"),
    (b"7767517", f"the description of an ncnn network; {_EXPORT}, from which it was made"),
    (b"model_checkpoint_path:", f"the list of TensorFlow's checkpoints; {_EXPORT} (tf2onnx)"),
)
_TEXTS: tuple[tuple[str, str], ...] = (
    (r"version https://git-lfs\.github\.com", "a Git LFS pointer, not the file itself; run git lfs pull"),
    (r"# xet version", "a pointer to a file on Hugging Face, not the file itself; fetch it with hf download"),
    (r"(\.\./)*(\.git/annex|annex|/annex)/", "a git-annex pointer, not the file itself; run git annex get"),
    (r"(?i)(<!--.*?-->\s*)*<(!doctype html|html|head|body)", f"a web page, saved in place of the file; {_FETCH}"),
    (
        r"(?s)<\?xml.{0,200}<net\b|<net\b",
        "the description of an OpenVINO network; export the network to ONNX instead",
    ),
    (r"(?s)(<\?xml.{0,200})?<Error>", f"a server's message of an error; {_FETCH}"),
    (
        r"(?i)(40[134]|429|5\d\d)?:? ?(not found|forbidden|unauthorized|access denied|entry not found|"
        r"invalid username|too many requests|rate limit|bad gateway|service unavailable|internal server error)",
        f"a server's message of an error; {_FETCH}",
    ),
    (r"(?s)(#[^\n]*\n|\s)*\[net(work)?\]", f"the description of a Darknet network; {_EXPORT}"),
)
_SUFFIXES = {  # where bytes say too little
    ".weights": f"weights of a Darknet network; {_EXPORT}",
    ".engine": f"a TensorRT engine, compiled for one GPU; {_EXPORT}, from which it was built",
    ".plan": f"a TensorRT engine, compiled for one GPU; {_EXPORT}, from which it was built",
    ".msgpack": f"weights of Flax; save them as safetensors or with numpy.savez, or {_EXPORT.partition(', ')[2]}",
    ".ckpt": f"TensorFlow's weights; {_EXPORT} (tf2onnx)",
    ".index": f"the index of TensorFlow's weights; {_EXPORT} (tf2onnx)",
    ".meta": f"a graph of TensorFlow 1; {_EXPORT} (tf2onnx)",
    ".pdmodel": f"a network of PaddlePaddle; {_EXPORT} (paddle2onnx)",
    ".pdiparams": f"weights of PaddlePaddle; {_EXPORT} (paddle2onnx)",
    ".t7": f"a file of Torch7 (Lua); {_EXPORT}, or load and save it with PyTorch",
    ".mnn": f"a network of MNN; {_EXPORT}, from which it was made",
    ".tflite": f"a TensorFlow Lite network; {_EXPORT}",
    ".pb": f"a graph of TensorFlow; {_EXPORT} (tf2onnx)",
}


def describe_foreign(sample: Sample) -> str | None:
    """Return what a file that minicnn does not read is and what to do, None if nothing is known of it.

    Examples
    --------
    >>> describe_foreign(Sample(Path("net.pth"), b"GIF89a", 6))
    'a GIF picture; pictures are given as IMAGE, networks as --net'

    """
    if not sample.size:
        return f"an empty file, of 0 bytes; {_FETCH}"
    if not sample.head.strip(b"\0"):
        return f"nothing but zeros; {_FETCH}"
    for look in (_from_text, _from_json, _from_archive, _from_bytes, _from_fields):
        if sentence := look(sample):
            return sentence
    suffix = sample.path.suffix.lower()
    if re.search(r"\.(ckpt-\d+|data-\d+-of-\d+)(\.|$)", sample.path.name):
        suffix = ".ckpt"
    return _SUFFIXES.get(suffix)


def _from_text(sample: Sample) -> str | None:
    sentence = next((words for pattern, words in _TEXTS if re.match(pattern, sample.text)), None)
    if sentence is None:
        return None
    title = re.search(r"(?is)<title[^>]*>\s*(.*?)\s*</title>", sample.text[:8192])
    size = re.search(r"^size (\d{1,18})$", sample.text, re.MULTILINE)
    if title:
        return sentence.replace("a web page", f"a web page ({escape(title[1])!r})")
    if size and "LFS" in sentence:
        return sentence.replace("itself", f"itself of {int(size[1]):,} bytes")
    return sentence


def _from_json(sample: Sample) -> str | None:
    given = sample.json
    if "weightsManifest" in given or given.get("format") in ("layers-model", "graph-model"):
        return "a network of TensorFlow.js; save the Keras model it was made from as .keras, or export it to ONNX"
    if "arg_nodes" in given:
        return f"the description of an MXNet network; {_EXPORT}"
    if "model_type" in given or "architectures" in given or "architecture" in given:
        return "the settings of a network, without its weights; name the .safetensors or .bin beside it"
    if {"message", "error", "errors"} & given.keys():
        return f"a server's message of an error; {_FETCH}"
    return "JSON that describes no network; name the file of the weights" if given else None


def _from_archive(sample: Sample) -> str | None:
    if sample.head[257:262] == b"ustar":
        if b"storages" in sample.head or b"sys_info" in sample.head[:100]:
            return (
                "a file that PyTorch wrote before 0.1.10; load and save it there: torch.save(torch.load(...), ...)"
            )
        return "a tar archive; unpack it, as tar -xf does, and name a file in it"
    if sample.head[:4] == b"PK\x05\x06":
        return "an empty zip archive; name the file of the weights"
    if sample.head[:4] != b"PK\x03\x04":
        return None
    if not sample.members:
        return f"a zip archive that is cut short or damaged; {_FETCH}"
    if any("serialized_exported_program" in name or name.endswith("models/model.json") for name in sample.members):
        return "a program of torch.export (.pt2); where it was made, save model.state_dict() or export to ONNX"
    if "MAR-INF/MANIFEST.json" in sample.members:
        return "a TorchServe archive; unpack it and name the .pth or .pt in it"
    shown = ", ".join(escape(name) for name in sorted(sample.members)[:4])
    more = ", ..." if len(sample.members) > 4 else ""
    return f"a zip archive of {shown}{more}; unpack it and name the file of the weights"


def _from_bytes(sample: Sample) -> str | None:
    if sample.head[4:8] == b"TFL3":
        return f"a TensorFlow Lite network; {_EXPORT}"
    if sample.head[4:8] == b"ftyp":
        return "a film or an HEIF picture; pictures are given as IMAGE, networks as --net"
    return next((words for start, words in _SIGNATURES if sample.head.startswith(start)), None)


def _from_fields(sample: Sample) -> str | None:
    fields, varint, inner = sample.fields, 0, 2
    if not fields:
        return None
    if fields.get(1) == varint and max(fields) >= 200:
        return f"a Core ML network; {_EXPORT}, from which it was made"
    if fields == {1: varint, 2: inner}:
        return f"a TensorFlow SavedModel; {_EXPORT} (tf2onnx)"
    # nodes with a name and an operator
    if (
        fields.get(1) == inner
        and fields.keys() <= {1, 2, 3, 4}
        and re.match(rb"\n.{1,3}\n.", sample.head, re.DOTALL)
    ):
        return f"a graph of TensorFlow; {_EXPORT} (tf2onnx)"
    return None


def describe_folder(path: Path) -> str | None:
    """Return what a folder that is one network of another program is, None for other folders."""
    kinds: tuple[tuple[Callable[[], bool], str], ...] = (
        (lambda: (path / "saved_model.pb").exists(), f"a TensorFlow SavedModel; {_EXPORT} (tf2onnx)"),
        (
            lambda: (path / "Manifest.json").exists() and (path / "Data").is_dir(),
            f"a Core ML package; {_EXPORT}, from which it was made",
        ),
        (
            lambda: (path / ".metadata").exists() and any(path.glob("*.distcp")),
            "a checkpoint of torch.distributed; join its parts into one file with "
            "torch.distributed.checkpoint.format_utils.dcp_to_torch_save",
        ),
        (
            lambda: (path / "_METADATA").exists() or (path / "_CHECKPOINT_METADATA").exists(),
            "a checkpoint of Orbax (JAX); restore it there and save its arrays with numpy.savez",
        ),
        (
            lambda: (path / "data.pkl").exists(),
            "an unpacked PyTorch file; zip the folder, without compression, as .pth",
        ),
        (
            lambda: (path / "model.weights.h5").exists() and (path / "config.json").exists(),
            "an unpacked .keras file; zip what is in it as .keras",
        ),
    )
    return next((words for holds, words in kinds if holds()), None)
