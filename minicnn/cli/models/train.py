"""``minicnn train DATA --net NAME``: a network learns a data set, and goes on where it was left."""

from __future__ import annotations

import csv
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn._utils.counted import counted
from minicnn.cli import common
from minicnn.cli.loop.printing import print_json, print_result
from minicnn.cli.loop.signals import Stopped
from minicnn.cli.models.watch_training import Watch
from minicnn.errors import MinicnnError

if TYPE_CHECKING:
    from minicnn.network import Network
    from minicnn.training import Dataset, Epoch, Recipe
    from minicnn.training.data.dataset import Broken

__all__ = ["configure", "run"]


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "data", metavar="DATA", help="idx files, a folder of class folders, a CSV of paths and classes, or an .npz"
    )
    parser.add_argument(
        "--net",
        required=True,
        metavar="NAME",
        help="a trained network, by name or file, to go on from, or an architecture to draw anew",
    )
    parser.add_argument("--anew", action="store_true", help="draw the weights of a network that is trained, too")
    parser.add_argument("--recipe", metavar="FILE", help="how to train (TOML); what it leaves out has its default")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        type=_parse_setting,
        metavar="NAME=VALUE",
        help="another value for a setting of the recipe, such as optimiser.learning_rate=0.05",
    )
    parser.add_argument(
        "--freeze",
        action="store_true",
        help="train the last layer alone; what all others make of an image is computed once and kept",
    )
    parser.add_argument("--epochs", type=common.integer_from(1), metavar="N", help="instead of the recipe's")
    common.add_seed(parser, "of weights, order and augmentation")
    parser.add_argument("--validation", metavar="DATA", help="images that are not learnt, measured each epoch")
    parser.add_argument(
        "--hold-out",
        type=_parse_share,
        default=0.1,
        metavar="SHARE",
        help="share of DATA that is not learnt, where there is no --validation (default: %(default)s)",
    )
    parser.add_argument(
        "--overfit",
        type=common.integer_from(1),
        metavar="N",
        help="learn N images by heart, unchanged, for 100 epochs or --epochs: a network that can't has a fault",
    )
    parser.add_argument(
        "--rate-range",
        action="store_true",
        help="train a copy by learning rates that rise from step to step, and draw its loss: which one fits?",
    )
    parser.add_argument(
        "--keep-every",
        type=common.integer_from(1),
        default=0,
        metavar="N",
        help="keep the network of each N-th epoch, epoch-0010.npz",
    )
    parser.add_argument(
        "--animate",
        nargs="?",
        const="",
        metavar="LAYER",
        help="draw a layer's filters, and its maps of a held-out image, each epoch (default: the first layer)",
    )
    parser.add_argument("--tensorboard", metavar="DIR", help="write what is measured as TensorBoard's event files")
    parser.add_argument("--workers", type=common.integer_from(0), metavar="N", help="threads that read images")
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="leave out images that can't be read, and name them; all files are read first",
    )
    parser.add_argument(
        "--show-augmentation", metavar="FILE.png", help="draw how the recipe changes the first images, and stop"
    )
    parser.add_argument("--no-resume", action="store_true", help="start again where the folder holds a run")
    common.add_output(parser, "training")
    common.add_device(parser)
    common.add_json(parser)


def run(arguments: Namespace) -> int:
    """Train, print each epoch as it is done, and write network, recipe, metrics and checkpoints."""
    from minicnn import training
    from minicnn.report.files import make_folder

    recipe = training.Recipe() if arguments.recipe is None else training.read_recipe(arguments.recipe)
    epochs = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    recipe = recipe.with_settings({**dict(arguments.settings), **epochs})
    dataset = training.read_dataset(arguments.data, skip_broken=arguments.skip_broken)
    if len(dataset.labels) < 2:
        raise MinicnnError(
            f"{arguments.data}: all of {counted(len(dataset), 'image')} are of the class {dataset.labels[0]!r}; "
            "expected two classes or more: a folder for each, or a name in each line"
        )
    train, validation = _split(arguments, dataset)
    if arguments.overfit:
        recipe = _by_heart(recipe, arguments.epochs)
    net, is_drawn = _find_network(arguments, train.labels)
    net = net.to(arguments.device, images=recipe.epochs * len(train))
    if arguments.freeze:
        recipe = recipe.with_settings({"freeze": training.freeze_below_head(net)})
    if kept := training.say_what_is_kept(net, recipe):
        print(kept, file=sys.stderr)
    if arguments.show_augmentation is not None:
        return _show_augmentation(arguments, net, train, recipe)
    make_folder(arguments.output)
    if arguments.rate_range:
        return _find_rate_range(arguments, net, train, recipe)
    folder = Path(arguments.output)
    image, _ = (validation or train)[0]
    watch = Watch(arguments, train, net.name, is_drawn, image)
    try:
        result = training.fit(
            net,
            train,
            recipe,
            validation=validation,
            seed=arguments.seed,
            checkpoint=folder,
            resume=not arguments.no_resume,
            workers=arguments.workers,
            on_step=watch.step,
            watch=watch.epoch,
            keep_every=arguments.keep_every,
        )
    except KeyboardInterrupt as stop:
        raise _stopped(stop, watch.history, recipe.epochs, arguments) from None
    finally:
        watch.close()
    record = {
        "net": str(folder / "best.npz"),
        "best_epoch": result.best_epoch,
        "first_loss": watch.first_loss,
        "history": [asdict(epoch) for epoch in result.history],
    }
    print_result(record, _format_result, arguments.json)
    # parts of a data set name what the whole left out
    _name_broken(folder, list(dict.fromkeys([*dataset.broken, *(validation.broken if validation else ())])))
    if arguments.overfit and result.history[-1].accuracy < 1:
        raise MinicnnError(
            f"learnt only {result.history[-1].accuracy:.1%} of {len(train)} images by heart; a network that can't "
            "has a fault, or too small a learning rate"
        )
    return 0


def _stopped(stop: KeyboardInterrupt, done: Sequence[Epoch], epochs: int, arguments: Namespace) -> Stopped:
    """Return what says how many epochs were done and that they are kept; with --json these are printed."""
    if arguments.json == "json":
        print_json({"net": None, "best_epoch": None, "history": [asdict(epoch) for epoch in done]})
    last = f"epoch {done[-1].epoch} of {epochs} is done" if done else f"none of {epochs} epochs was done"
    where = f"what was learnt is kept in {arguments.output}, and the same command goes on"
    return Stopped(getattr(stop, "number", Stopped.DEFAULT), f"{str(stop) or 'stopped'}; {last}; {where}")


def _find_rate_range(arguments: Namespace, net: Network, train: Dataset, recipe: Recipe) -> int:
    """Write figure and table of a range test, and print the rate that it suggests."""
    from minicnn.figures.training.rate_range import write_rate_range
    from minicnn.training import find_rate_range

    measured = find_rate_range(net, train, recipe, seed=arguments.seed, workers=arguments.workers or 0)
    paths = write_rate_range(arguments.output, measured, net.name)
    record = {**measured._asdict(), "files": [str(path) for path in paths]}
    if measured.smoothed[-1] == min(measured.smoothed):
        common.complain(
            f"the loss still fell at a learning rate of {measured.rates[-1]:g}; the suggested one is a guess"
        )
    print_result(record, _format_rate_range, arguments.json)
    return 0


def _format_rate_range(record: dict[str, Any]) -> str:
    return (
        f"{record['files'][0]}: try --set optimiser.learning_rate={record['suggested']:.2g}, a tenth of the rate "
        "of the least loss"
    )


def _parse_setting(text: str) -> tuple[str, Any]:
    """Return (name, value) of NAME=VALUE: numbers, true and false, lists with commas; anything else is a word."""
    name, given, value = text.partition("=")
    if not given:
        raise ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    words = [_parse_word(word) for word in value.split(",")]
    return name, words[0] if len(words) == 1 and name != "freeze" else words


def _parse_word(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _parse_share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 <= share < 1:
        raise ArgumentTypeError(f"expected a share from 0 up to 1, got {text!r}")
    return share


def _split(arguments: Namespace, dataset: Dataset) -> tuple[Dataset, Dataset | None]:
    """Return what is learnt and what is measured."""
    from minicnn import training

    if arguments.overfit:
        return dataset.subset(range(min(arguments.overfit, len(dataset)))), None
    if arguments.validation is not None:
        return dataset, training.read_dataset(arguments.validation, "test", arguments.skip_broken)
    return dataset.split(arguments.hold_out, arguments.seed) if arguments.hold_out else (dataset, None)


def _by_heart(recipe: Recipe, epochs: int | None) -> Recipe:
    """Return the recipe without all that keeps a network from learning images by heart."""
    from minicnn.training import Augment, Loss

    plain = {f"augment.{name}": value for name, value in vars(Augment()).items()}
    plain |= {f"loss.{name}": value for name, value in vars(Loss()).items()}
    plain |= {"optimiser.weight_decay": 0.0, "average": 0.0, "patience": 0, "epochs": epochs or 100}
    return recipe.with_settings(plain)


def _find_network(arguments: Namespace, labels: list[str]) -> tuple[Network, bool]:
    """Return a trained network with these classes, or an architecture; and whether it is drawn."""
    from minicnn import Network, zoo
    from minicnn.io.catalogue import read_entries
    from minicnn.training import replace_head

    if arguments.net in zoo.ARCHITECTURES and (arguments.anew or arguments.net not in read_entries()):
        net = zoo.build(arguments.net, len(labels), arguments.seed)
        return Network(net.named_layers, net.input_shape, net.preprocess, labels, name=net.name), True
    net = common.load_network(arguments.net)
    return (net, False) if net.labels == labels else (replace_head(net, labels, arguments.seed), True)


def _show_augmentation(arguments: Namespace, net: Network, dataset: Dataset, recipe: Recipe) -> int:
    from minicnn.figures.training.augmentation import draw_augmentation
    from minicnn.report.files import open_atomically

    figure_path = arguments.show_augmentation
    figure = draw_augmentation(net, dataset, recipe, arguments.seed)
    with open_atomically(figure_path, "train") as file:
        figure.save(file, "PNG")
    record = {"figure": figure_path}
    print_result(record, lambda _: f"{figure_path}: what augmentation makes of the images", arguments.json)
    return 0


def _format_result(record: dict[str, Any]) -> str:
    return f"{record['net']}: the network as epoch {record['best_epoch']} left it"


def _name_broken(folder: Path, broken: Sequence[Broken]) -> None:
    """Say which images were left out, and write a table of them, where there are some."""
    if broken:
        with open(folder / "broken.csv", "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            csv.writer(file).writerows([("image", "fault"), *broken])
    for image in broken:
        print(f"minicnn: left out: {image.name}: {image.fault}", file=sys.stderr)
