"""Which file was named, and of which format it is: by its bytes first, then by its name."""

from __future__ import annotations

from pathlib import Path

from minicnn._utils.missing import is_address, missing_file
from minicnn._utils.suggest import did_you_mean
from minicnn._utils.types import PathLike
from minicnn.errors import WeightsError
from minicnn.formats.containers.files import escape, guess_file_type
from minicnn.formats.foreign import describe_folder, describe_foreign
from minicnn.formats.sample import take_sample
from minicnn.formats.table import FORMATS, Format, find_format, find_main_format, identify, readable_suffixes
from minicnn.io import catalogue

__all__ = ["check_second_file", "find_kind", "find_second_file", "is_name", "name_architecture", "resolve"]

# in the order of preference: an index stands for all its parts
_FOLDER_FILES = (
    *("model.safetensors.index.json", "pytorch_model.bin.index.json"),
    *("model.safetensors", "pytorch_model.bin", "model.keras", "model.onnx"),
)


def resolve(source: PathLike) -> Path:
    """Return the file that ``source`` means: a path as it is, a name of the catalogue as its file.

    A folder means the one file of weights in it; one without weights does not hide a name of the catalogue.

    Raises
    ------
    MinicnnError
        If it is neither; the nearest names are in the message.

    """
    if isinstance(source, str) and is_name(source):
        return catalogue.find_weights(source)
    path = Path(source)
    return _find_in_folder(path) if path.is_dir() else path


def is_name(source: str) -> bool:
    """Return whether a word means a name of the catalogue, known or not, rather than a file or a folder."""
    path = Path(source)
    if path.suffix or path.name != source:
        return False
    if path.is_dir():
        return source in catalogue.read_entries() and not _holds_weights(path)
    return not path.exists()


def _holds_weights(folder: Path) -> bool:
    return bool(describe_folder(folder)) or any(p.is_file() and identify(p) is not None for p in folder.iterdir())


def _find_in_folder(folder: Path) -> Path:
    if sentence := describe_folder(folder):
        raise WeightsError(f"{folder}: {sentence}")
    usual = [folder / name for name in _FOLDER_FILES if (folder / name).is_file()]
    others = [path for path in sorted(folder.iterdir()) if path.is_file() and identify(path) is not None]
    # a description stands for itself and the weights beside it
    others = [path for path in others if find_second_file(find_kind(path), path)] or others
    if len(others) != 1 and not usual:
        shown = ", ".join(escape(path.name) for path in others[:8]) or "no weights"
        raise WeightsError(f"{folder}: a folder that holds {shown}; name one file in it")
    return (usual or others)[0]


def find_kind(path: Path) -> Format:
    """Return the format of a file.

    Raises
    ------
    WeightsError
        If the file is missing, or of a kind that minicnn does not read: it is called what it is.

    """
    sample = take_sample(path)
    if sample is None:
        kind = find_format(path)
        # readers of arrays say themselves what is wrong with a path
        if kind is None or kind.read_arrays is None:
            raise _describe_missing(path)
        return kind
    known = identify(path, sample)
    # of a format without marks its name is all that is known
    if known is not None and (known.recognise is None or known.recognise(sample)):
        return known
    if sample.is_caffemodel() or (find_main_format(path) is not None and sample.fields):
        (caffe,) = [row for row in FORMATS if row.second_file == ".caffemodel"]
        raise WeightsError(
            f"{path}: holds weights alone; name the {caffe.suffixes[0]} beside it, with this one as its weights"
        )
    if sentence := describe_foreign(sample):
        raise WeightsError(f"{path}: {sentence}")
    # the readers of binary formats would look for damage in what is text
    if known is None or (sample.text and known.name not in ("Caffe", "pickled NumPy")):
        raise WeightsError(
            f"{path}: not a kind of file that minicnn reads, {guess_file_type(sample.head)}; expected one of "
            f"{', '.join(readable_suffixes())}"
        )
    return known


def _describe_missing(path: Path) -> WeightsError:
    if is_address(path):
        return WeightsError(missing_file(path))
    if path.exists():
        return WeightsError(f"{path}: no file that can be read; check its permissions")
    hint = did_you_mean(str(path), catalogue.read_entries())
    return WeightsError(f"{path}: no such file, and no network of that name; {hint}")


def find_second_file(kind: Format, path: Path) -> Path | None:
    """Return the file of weights that belongs to a description of Keras: the only one in its folder."""
    if kind.second_file != ".weights.h5":
        return None
    beside = sorted({*path.parent.glob("*.h5"), *path.parent.glob("*.hdf5")})
    return beside[0] if len(beside) == 1 else None


def check_second_file(path: PathLike) -> None:
    """Raise WeightsError if a file of weights is of another kind than any that belongs to a description."""
    sample = take_sample(Path(path))
    if sample is not None and not sample.is_keras() and not sample.is_caffemodel():
        sentence = describe_foreign(sample)
        if sentence:
            raise WeightsError(f"{path}: {sentence}")


def name_architecture(path: Path) -> str:
    """Return what the config.json beside a file says of its architecture, "" if nothing.

    Examples
    --------
    >>> name_architecture(Path("not_there.safetensors"))
    ''

    """
    sample = take_sample(path.parent / "config.json")
    settings = {} if sample is None else sample.json
    # timm names an architecture, transformers its classes
    named = settings.get("architecture") or settings.get("architectures") or settings.get("model_type")
    if not named:
        return ""
    from minicnn.zoo import ARCHITECTURES

    if isinstance(named, str) and named in ARCHITECTURES:
        return f"; the config.json beside it says {named!r}"
    return f"; the config.json beside it says {escape(named)}"
