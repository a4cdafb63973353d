"""The nets of ``coverage.py``, and how what we read is compared with their frameworks'."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

DOUBLE, SINGLE = 1e-9, 1e-5  # differences relative to the largest value; ONNX keeps some constants in float32
TRANSFORMERS = ("vit_", "swin_", "maxvit")  # not ConvNets: listed apart
SEGMENTATION = tuple(
    f"{head}_{trunk}"
    for head, trunks in {
        "fcn": ("resnet50", "resnet101"),
        "deeplabv3": ("resnet50", "resnet101", "mobilenet_v3_large"),
        "lraspp": ("mobilenet_v3_large",),
    }.items()
    for trunk in trunks
)
TIMM = """resnet18 resnet26d resnetblur50 resnetaa50 resnetv2_50 resnext50_32x4d seresnet18 ecaresnet26t skresnet18
res2net50_26w_4s resnest14d legacy_seresnet18 legacy_xception seresnext26d_32x4d densenet121 densenetblur121d
vgg11_bn ese_vovnet19b_dw dla34 dla60_res2net hrnet_w18_small efficientnet_b0 efficientnet_lite0 tf_efficientnet_b0
efficientnetv2_rw_t mobilenetv1_100 mobilenetv2_100 mobilenetv3_small_050 mobilenetv4_conv_small mnasnet_small
semnasnet_075 fbnetc_100 fbnetv3_b spnasnet_100 tinynet_e lcnet_050 mixnet_s ghostnet_050 repghostnet_050
regnetx_002 regnety_002 regnetz_b16 repvgg_a0 mobileone_s0 rexnet_100 dpn68 inception_v3 inception_v4
inception_resnet_v2 xception41 repvit_m1_1 selecsls42b cspresnet50 cspdarknet53 darknet53 cs3darknet_s
convnext_atto convnextv2_atto convmixer_768_32 gernet_s nf_regnet_b0 hardcorenas_a hgnetv2_b0 starnet_s1
fasternet_t0 inception_next_atto""".split()
TF2ONNX = "MobileNet MobileNetV2 ResNet50 DenseNet121 InceptionV3 Xception EfficientNetB0 NASNetMobile".split()
KERAS = """VGG16 VGG19 ResNet50 ResNet50V2 InceptionV3 InceptionResNetV2 Xception MobileNet MobileNetV2
MobileNetV3Small DenseNet121 NASNetMobile EfficientNetB0 EfficientNetV2B0 ConvNeXtTiny""".split()


def names() -> list[tuple[str, str]]:
    """Return (source, net) of everything that can be measured with the frameworks that are installed."""
    sources = {"torchvision": torchvision_names, "timm": lambda: TIMM, "keras": lambda: KERAS}
    sources = sources if importlib.util.find_spec("torch") else {}
    if importlib.util.find_spec("tf2onnx"):
        sources["tf2onnx"] = lambda: TF2ONNX
    return [(source, name) for source, listed in sources.items() for name in listed()]


def torchvision_names() -> list[str]:
    """Return torchvision's classifiers and its convolutional nets for segmentation, the smallest first."""
    from coverage_torch import torchvision

    models = torchvision().models
    listed = [*models.list_models(module=models), *SEGMENTATION]
    return sorted(listed, key=lambda name: next(iter(models.get_model_weights(name))).meta["num_params"])


def measure(source: str, name: str) -> Iterator[dict]:
    """Yield the result of each file that the framework writes of a net."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        files = import_files(source)
        for file, path, peer in files(name, Path(folder)):
            row = {"source": source, "net": name, "file": file}
            if isinstance(path, Exception):
                lines = str(path).strip().splitlines() or [""]
                yield row | {"kind": "not exported", "why": f"{type(path).__name__}: {lines[0][:200]}"}
            else:
                yield row | compare(path, peer)


def import_frameworks(source: str) -> None:
    """Import what the nets of a source need; minicnn is left to the process that measures."""
    os.environ["KERAS_BACKEND"] = "tensorflow" if source == "tf2onnx" else "torch"
    import_files(source)
    packages = {"timm": ("timm", "onnxscript"), "torchvision": ("onnxscript",), "keras": ("keras",)}
    for package in packages.get(source, ()):
        importlib.import_module(package)


def import_files(source: str):
    """Return the function of a net and a folder that yields its files: (kind of file, path or error, peer)."""
    # torch and Keras may take this folder from the path as they are imported
    sys.path.insert(0, str(Path(__file__).parent))
    if source == "keras":
        from coverage_keras import keras_files as files
    elif source == "tf2onnx":
        from coverage_tensorflow import tensorflow_files as files
    elif source == "timm":
        from coverage_torch import timm_files as files
    else:
        from coverage_torch import torchvision_files as files
    return files


def compare(path: Path, peer: dict) -> dict:
    """Return how what ``minicnn.load`` makes of a file differs from its framework's net."""
    import minicnn
    from minicnn.errors import MinicnnError

    try:
        net = minicnn.load(path)
        y, tape = net.trace(peer["x"])
        if y.shape != peer["y"].shape:
            return {"kind": "wrong", "why": f"shape {y.shape}, expected {peer['y'].shape}"}
        row = {"scores": difference(y, peer["y"])}
        row["gradient"] = difference(net.backward(tape, peer["dy"]), peer["gradient"])
    except MinicnnError as error:
        return {"kind": "refused", "why": str(error).replace(str(path), path.name)[:400]}
    row["guided"] = guided_difference(net, tape, peer)
    worst = max(value for value in row.values() if isinstance(value, float))
    kind = "agreed" if worst <= SINGLE else "wrong"
    return row | {"kind": kind, "why": "" if kind == "agreed" else f"differs by {worst:.1e}"}


def guided_difference(net, tape, peer: dict) -> float | str:
    from minicnn.errors import MinicnnError

    if isinstance(peer["guided"], str):
        return peer["guided"]
    try:
        return difference(net.backward(tape, peer["dy"], rule="guided"), peer["guided"])
    except MinicnnError:
        return "refused"


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference relative to the largest value; infinite where either is not finite."""
    value = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    return value if np.isfinite(value) else float("inf")
