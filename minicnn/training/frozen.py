"""Layers that stay as they are: all but the last one, and a network cut below the lowest that trains."""

from __future__ import annotations

from typing import NamedTuple

from minicnn.layers import Dropout, sequence
from minicnn.layers.graph import INPUT, is_passed_by_all, rename_inputs
from minicnn.network import Network
from minicnn.training.recipe import Recipe

__all__ = ["Cut", "cut_below_training", "freeze_below_head"]


class Cut(NamedTuple):
    """A network in two parts.

    Attributes
    ----------
    trunk : Network, which stays as it is
    tail : Network, of which some layer trains; its input is the trunk's output
    recipe : Recipe, for the tail

    """

    trunk: Network
    tail: Network
    recipe: Recipe


def freeze_below_head(net: Network) -> tuple[str, ...]:
    """Return a recipe's ``freeze`` that leaves only the last layer with parameters to train.

    Examples
    --------
    >>> import minicnn
    >>> freeze_below_head(minicnn.load("digits"))
    ('conv_layers.', 'fc_layers.0.')

    """
    names = [name for name, layer in sequence.walk(net.named_layers) if layer.parameter_shapes()]
    return _shorten(names[:-1], names[-1:])


def _shorten(frozen: list[str], trained: list[str]) -> tuple[str, ...]:
    """Return beginnings of the frozen layers' names that no other layer's name has, short ones where possible."""
    beginnings: dict[str, None] = {}
    for name in frozen:
        words = name.split(".")
        starts = (".".join(words[:n]) + "." for n in range(1, len(words) + 1))
        beginnings[next(s for s in starts if not any(f"{other}.".startswith(s) for other in trained))] = None
    return tuple(beginnings)


def cut_below_training(net: Network, recipe: Recipe) -> Cut | None:
    """Return the network cut below the lowest layer that trains, or None where nothing below it has parameters.

    Parameters
    ----------
    net : Network
    recipe : Recipe, whose ``freeze`` names what stays

    Examples
    --------
    >>> import minicnn
    >>> cut = cut_below_training(minicnn.load("digits"), Recipe(freeze=("conv_layers.",)))
    >>> cut.trunk.names[-1], cut.tail.input_shape
    ('flatten', (1152,))

    """
    layers, end = net.named_layers, 0
    # a value that is read over the cut, a skip connection's, would have to be kept too
    for i, passed in enumerate(is_passed_by_all(layers)):
        if not _stays(layers[i : i + 1], recipe.freeze):
            break
        end = i + 1 if passed else end
    trunk, tail = layers[:end], layers[end:]
    if not tail or not sequence.parameter_shapes(trunk) or net.input_shape is None:
        return None
    shape = sequence.output_shape(trunk, net.input_shape)
    names = sequence.parameter_shapes(tail)
    freeze = [prefix for prefix in recipe.freeze if any(name.startswith(prefix) for name in names)]
    return Cut(
        Network(trunk, net.input_shape, net.preprocess, device=net.device, name=net.name),
        Network(rename_inputs(tail, {trunk[-1][0]: INPUT}), shape, device=net.device, name=net.name),
        recipe.with_settings({"freeze": freeze}),
    )


def _stays(layers: sequence.NamedLayers, freeze: tuple[str, ...]) -> bool:
    """Return whether layers give the same for an image in each step: nothing trains, nothing is dropped."""
    drops = any(isinstance(layer, Dropout) for _, layer in sequence.walk(layers))
    return not drops and all(name.startswith(freeze) for name in sequence.parameter_shapes(layers))
