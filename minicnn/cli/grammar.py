"""What can be typed after ``minicnn``."""

from __future__ import annotations

import argparse

from minicnn.cli import options
from minicnn.cli.measures import measures

__all__ = ["parser"]


def parser() -> argparse.ArgumentParser:
    """Return the parser; what it returns has ``command``, the name of a function in ``minicnn.cli.commands``."""
    top = argparse.ArgumentParser(
        prog="minicnn",
        description="What a convolutional network sees: classes, saliency maps, and the gradients behind them.",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)

    demo = commands.add_parser("demo", help="predict and explain the shipped images; write figures and a page")
    demo.add_argument(
        "-o", "--output", default="minicnn-demo", metavar="DIR", help="folder (default: %(default)s)"
    )
    options.crops(demo, "ten")
    options.device(demo)
    options.json(demo)

    predict = commands.add_parser("predict", help="print the classes that a network sees in images")
    options.images(predict)
    predict.add_argument("--top", type=int, default=5, metavar="N", help="how many classes (default: %(default)s)")
    options.crops(predict, "one")

    saliency = commands.add_parser(
        "saliency", help="write saliency maps: photograph, map and overlay in one figure"
    )
    options.images(saliency)
    saliency.add_argument("-o", "--output", default=".", metavar="DIR", help="folder (default: here)")
    saliency.add_argument("--target", metavar="CLASS", help="label or number (default: the most probable class)")
    saliency.add_argument("--rule", default="gradient", choices=("gradient", "deconvnet", "guided"))
    saliency.add_argument("--of", default="score", choices=("score", "probability"), help="what is differentiated")
    saliency.add_argument(
        "--crops",
        choices=("one", "ten", "whole"),
        help="the centre; corners and centre, each mirrored too; the whole picture (default: ten; methods: one)",
    )
    _later_maps(saliency)

    localise = commands.add_parser(
        "localise", help="find objects: photograph, map, seeds, mask and box in one figure"
    )
    options.images(localise)
    localise.add_argument("-o", "--output", default=".", metavar="DIR", help="folder (default: here)")
    which = localise.add_mutually_exclusive_group()
    which.add_argument("--target", metavar="CLASS", help="label or number (default: the most probable class)")
    which.add_argument("--top", type=int, default=1, metavar="N", help="so many of the most probable classes")
    localise.add_argument(
        "--method", default="paper", help="paper, or smooth: better and slower (default: %(default)s)"
    )
    localise.add_argument("--rule", choices=("gradient", "deconvnet", "guided"), help="default: the method's")
    localise.add_argument("--foreground", type=float, metavar="Q", help="seeds lie above this quantile")
    localise.add_argument("--background", type=float, metavar="Q", help="and below this one")
    localise.add_argument("--gamma", type=float, metavar="G", help="weight of the boundary")
    localise.add_argument(
        "--crops", choices=("one", "ten", "whole", "pair", "all"), help="views for the map (default: the method's)"
    )

    deconvnet = commands.add_parser(
        "deconvnet", help="show what a feature map answers to: its strongest images, patches and reconstructions"
    )
    options.images(deconvnet, what="image files, or folders of them")
    deconvnet.add_argument("-o", "--output", default=".", metavar="DIR", help="folder (default: here)")
    shown = deconvnet.add_mutually_exclusive_group(required=True)
    shown.add_argument("--layer", metavar="NAME", help="a layer, as 'minicnn inspect' names it")
    shown.add_argument(
        "--table",
        action="store_true",
        help="the three rules at each kind of layer, for each image: where they differ",
    )
    deconvnet.add_argument(
        "--channel",
        type=int,
        metavar="N",
        help="a feature map of that layer (default: the first image's strongest)",
    )
    deconvnet.add_argument(
        "--position",
        type=options.place,
        metavar="ROW,COLUMN",
        help="an activation of it (default: each image's largest)",
    )
    deconvnet.add_argument("--rule", default="deconvnet", choices=("gradient", "deconvnet", "guided"))
    deconvnet.add_argument(
        "--top", type=int, default=9, metavar="N", help="how many images (default: %(default)s)"
    )

    model = commands.add_parser(
        "class-model", help="draw the image that a class score, or a unit of any layer, likes best"
    )
    model.add_argument(
        "targets",
        nargs="+",
        metavar="CLASS",
        help="labels or numbers; with --layer, CHANNEL or CHANNEL,ROW,COLUMN",
    )
    options.net(model)
    model.add_argument("--layer", metavar="NAME", help="units of that layer, as 'minicnn inspect' names it")
    model.add_argument(
        "--stimuli",
        metavar="FOLDER",
        help="show beneath, of a folder's images, those that the unit answers to most",
    )
    model.add_argument(
        "--top",
        type=options.at_least(1),
        default=9,
        metavar="N",
        help="for --stimuli: how many (default: %(default)s)",
    )
    model.add_argument("-o", "--output", default=".", metavar="DIR", help="folder (default: here)")
    model.add_argument(
        "--seed", type=options.at_least(0), default=0, help="of jitter and restarts (default: %(default)s)"
    )
    _ascent(model)
    options.device(model)
    options.json(model)

    reproduce = commands.add_parser(
        "reproduce", help="run every experiment of the paper on a folder of images, and write a page"
    )
    reproduce.add_argument("data", metavar="DATA", help="a folder of images, with boxes and masks or without")
    options.net(reproduce)
    reproduce.add_argument(
        "-o", "--output", default="minicnn-paper", metavar="DIR", help="folder (default: %(default)s)"
    )
    reproduce.add_argument(
        "--classes", metavar="FILE", help="for VOC annotations: one name a line, in the order of the classes"
    )
    reproduce.add_argument(
        "--images", type=options.at_least(1), metavar="N", help="the first N images only (default: all)"
    )
    reproduce.add_argument(
        "--steps", type=int, default=200, metavar="N", help="of each class model (default: %(default)s)"
    )
    options.device(reproduce)
    options.json(reproduce)

    measures(commands.add_parser("evaluate", help="measure maps, masks and boxes on labelled pictures"))

    inspect = commands.add_parser(
        "inspect", help="say what a weight file is and holds, or where a figure comes from"
    )
    inspect.add_argument("source", metavar="FILE", help="a file, the name of a network, or a figure (.png)")
    inspect.add_argument("--verify", action="store_true", help="compute the figure's map again and compare")
    inspect.add_argument("--net", metavar="NAME", help="for --verify: instead of the net that the figure names")
    inspect.add_argument(
        "--image", action="append", metavar="IMAGE", help="for --verify: where the image is; repeat for several"
    )
    inspect.add_argument("--device", help="for --verify: where to compute (default: as the figure was)")
    options.architecture(inspect)
    options.json(inspect)

    convert = commands.add_parser("convert", help="write a network in another format")
    convert.add_argument("source", metavar="SRC", help="a file, or the name of a network")
    convert.add_argument(
        "destination", metavar="DST", help="a name that ends in .npz, .onnx, .safetensors or .pth"
    )
    options.architecture(convert)
    options.preprocessing(convert)
    convert.add_argument(
        "--check", action="store_true", help="run both files in what else reads them, and compare"
    )
    options.json(convert)

    validity = commands.add_parser(
        "validity", help="say how far along its gradient a class score is exactly linear, in grey levels"
    )
    options.images(validity, computes=False)
    validity.add_argument("--target", metavar="CLASS", help="label or number (default: the top-scoring class)")

    check = commands.add_parser(
        "check", help="hold every gradient of a network against its forward pass, to rounding error"
    )
    check.add_argument("net", metavar="NET", help="a name or a weight file")
    check.add_argument("image", nargs="?", metavar="IMAGE", help="an image file (default: random values)")
    options.architecture(check)
    options.preprocessing(check)
    check.add_argument("--device", default="reference", help="whose gradients (default: %(default)s)")
    check.add_argument(
        "--seed", type=options.at_least(0), default=0, metavar="N", help="of the directions (default: %(default)s)"
    )
    check.add_argument(
        "--directions",
        type=options.at_least(1),
        default=3,
        metavar="N",
        help="for each gradient (default: %(default)s)",
    )
    check.add_argument("--html", metavar="FILE", help="write the table as a page too")
    options.json(check)

    _compare(commands.add_parser("compare", help="hold a network against another program, layer by layer"))

    _diagnose(commands.add_parser("diagnose", help="find the convention that makes a network answer wrongly"))

    warm_up = commands.add_parser("warm-up", help="compile the fast kernels now, for images and containers")
    options.json(warm_up)

    devices = commands.add_parser("devices", help="say where the engine can compute here, and why not elsewhere")
    options.json(devices)
    return top


def _diagnose(command: argparse.ArgumentParser) -> None:
    command.add_argument("net", metavar="NET", help="a name or a weight file")
    command.add_argument("image", nargs="?", metavar="IMAGE", help="what the reference saw, or shows the class")
    held = command.add_mutually_exclusive_group(required=True)
    held.add_argument("--reference", metavar="PEER", help="FILE.onnx, DUMP.npz, or module:function")
    held.add_argument("--label", metavar="CLASS", help="without a reference: the image's class, label or number")
    command.add_argument("--save", metavar="FILE.npz", help="write the healed network")
    options.architecture(command)
    options.preprocessing(command)
    options.json(command)


def _compare(command: argparse.ArgumentParser) -> None:
    command.add_argument("net", metavar="NET", help="a name or a weight file")
    command.add_argument("image", nargs="?", metavar="IMAGE", help="an image file (default: random values)")
    command.add_argument(
        "--with",
        dest="peer",
        required=True,
        metavar="PEER",
        help="torch or onnxruntime (the net translated), a device, FILE.onnx, DUMP.npz, or module:function",
    )
    command.add_argument("--target", metavar="CLASS", help="whose gradient, label or number (default: the best)")
    command.add_argument("--forward", action="store_true", help="leave the gradients out")
    command.add_argument("--save", metavar="DUMP.npz", help="keep the peer's values in a file")
    command.add_argument(
        "--print-dumper",
        action=_Dumper,
        choices=("torch", "onnxruntime", "jax", "any"),
        help="print lines that write a dump with that framework alone, and exit",
    )
    command.add_argument("--device", default="reference", help="where ours runs (default: %(default)s)")
    options.architecture(command)
    options.preprocessing(command)
    options.json(command)


class _Dumper(argparse.Action):
    """Prints the lines that write a dump."""

    def __call__(self, parser, namespace, which, *_):
        from minicnn.cli.compare import dumper

        print(dumper(which))
        parser.exit()


class _Version(argparse.Action):
    """Prints the version without importing anything else."""

    def __call__(self, parser, *_):
        from minicnn import __version__

        print(f"minicnn {__version__}")
        parser.exit()


def _later_maps(command: argparse.ArgumentParser) -> None:
    methods = ("gradient", "gradient-x-input", "smoothgrad", "integrated-gradients", "grad-cam", "occlusion")
    group = command.add_argument_group("later work", "other methods' maps, for comparison")
    group.add_argument("--method", default="gradient", choices=methods, help="default: the paper's %(default)s")
    group.add_argument("--samples", type=options.at_least(1), metavar="N", help="of smoothgrad (default: 16)")
    group.add_argument("--noise", type=float, metavar="S", help="of smoothgrad, in parts of the range (0.15)")
    group.add_argument("--seed", type=options.at_least(0), metavar="N", help="of smoothgrad (default: 0)")
    group.add_argument(
        "--steps", type=options.at_least(1), metavar="N", help="of integrated-gradients (default: 50)"
    )
    group.add_argument("--baseline", choices=("black", "mean"), help="of integrated-gradients (default: black)")
    group.add_argument("--layer", metavar="NAME", help="of grad-cam (default: the last convolutional)")
    group.add_argument(
        "--window", type=options.at_least(1), metavar="N", help="of occlusion, pixels (default: a seventh)"
    )
    group.add_argument(
        "--stride", type=options.at_least(1), metavar="N", help="of occlusion (default: half the window)"
    )


def _ascent(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "ascent", "how to climb; all that the paper has is a penalty of lambda ||I||^2"
    )
    group.add_argument("--steps", type=int, metavar="N", help="default: 200")
    group.add_argument("--step", type=float, metavar="S", help="first step in input units (default: 0.05)")
    group.add_argument("--l2", type=float, metavar="L", help="lambda of the penalty (default: 1.4 / sqrt(C H W))")
    group.add_argument(
        "--constraint",
        choices=("l2_penalty", "l2_ball"),
        default="l2_penalty",
        help="subtract the penalty, or stay in a ball, as Le et al. 2012 do (default: %(default)s)",
    )
    group.add_argument("--radius", type=float, metavar="R", help="of the ball, in input units (default: 10)")
    group.add_argument(
        "--restarts", type=int, metavar="N", help="climb from random images too, as Erhan et al. 2009"
    )
    group = command.add_argument_group("later inventions", "not in the paper, and off unless asked for")
    group.add_argument("--jitter", type=int, metavar="N", help="shift by up to N pixels before each step")
    group.add_argument("--blur", type=float, metavar="S", help="blur by S pixels every tenth step")
    group.add_argument("--total-variation", type=float, metavar="W", help="weight of neighbours' differences")
    group.add_argument("--clip", action="store_true", default=None, help="keep between black and white")
    group.add_argument("--levels", type=int, metavar="N", help="climb from coarse to fine")
