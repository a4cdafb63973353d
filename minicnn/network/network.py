"""A network: named layers, run forward and backward; a loop each way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn import rules
from minicnn.errors import MinicnnError, ShapeError
from minicnn.kernels import choose, send
from minicnn.layers import Keep, sequence
from minicnn.layers.transforms.fold_batch_norm import fold_batch_norm
from minicnn.network import summary
from minicnn.network.batching import concatenate
from minicnn.network.executor import Executor, Program
from minicnn.network.targets import as_cotangent, check_classes
from minicnn.shapes import check_array

__all__ = ["Network", "Tape"]


class Tape(NamedTuple):
    """What a forward pass leaves for backward passes: the layers it ran, and what each of them kept."""

    layers: sequence.NamedLayers
    saved: list[Any]


class Network:
    """A ConvNet: a list of layers, where its input comes from, and what its outputs mean.

    Nothing of an input is kept between calls, so one network may serve many threads.

    Parameters
    ----------
    layers : list of layers, or of (name, layer) pairs
        Layers without a name are called by their place, "0", "1", ..., as in ``torch.nn.Sequential``.  A
        ``Softmax`` at the end stays outside of the scores.
    input_shape : (C, H, W), optional
        The one input shape that is accepted; without it, every shape that the layers accept.
    preprocess : minicnn.Preprocess, optional
        How an image becomes an input.
    labels : sequence of str, optional
        Class names, in the order of the scores.
    device : str
        Where it runs, see ``minicnn.kernels``.
    seed : int
        Seed of the parameters that the layers leave unset.
    name : str
        What to call it in messages and figures.

    Raises
    ------
    ShapeError
        If ``input_shape`` does not fit the layers.
    MinicnnError
        If ``layers`` are not layers with distinct names, or there are not as many labels as scores.

    """

    def __init__(
        self,
        layers: Sequence,
        input_shape: Sequence[int] | None = None,
        preprocess: Any = None,
        labels: Sequence[str] | None = None,
        *,
        device: str = "reference",
        seed: int = 0,
        name: str = "network",
    ):
        self._chain = sequence.initialise(sequence.name_layers(layers), np.random.default_rng(seed))
        self.input_shape = None if input_shape is None else tuple(int(n) for n in input_shape)
        self.preprocess = preprocess
        self.labels = None if labels is None else list(labels)
        self.name, self.device, self._runner = name, device, Executor(self._chain, device)
        self.check_labels()

    def check_labels(self) -> None:
        """Raise MinicnnError unless there are as many labels as scores, and ShapeError unless the layers fit."""
        if self.input_shape is None:
            return
        scores_shape = sequence.output_shape(sequence.before_softmax(self._chain), self.input_shape)
        if self.labels is not None and scores_shape != (len(self.labels),):
            raise MinicnnError(
                f"{len(self.labels)} labels do not fit scores of shape {scores_shape} for each image"
            )

    def __repr__(self) -> str:
        """Name, size and device."""
        count = sum(a.size for a in self.state_dict().values())
        return f"<Network {self.name}: {len(self._chain)} layers, {count:,} parameters, on {self.device}>"

    # what it is made of

    @property
    def layers(self) -> list:
        """The layers, in order."""
        return [layer for _, layer in self._chain]

    @property
    def names(self) -> list[str]:
        """The layers' names, in order."""
        return [name for name, _ in self._chain]

    @property
    def named_layers(self) -> list:
        """The (name, layer) pairs, in order, of which ``Network`` can be made again."""
        return list(self._chain)

    def __getitem__(self, name: str):
        """Return the layer of that name; a dotted name reaches into blocks."""
        return sequence.find(self._chain, name)

    def summary(self, input_shape: Sequence[int] | None = None) -> str:
        """Return a table: name, type, output shape, parameters, multiply-adds and memory of each layer."""
        return summary.table(self.summary_rows(input_shape), self._shape_for_summary(input_shape))

    def summary_rows(self, input_shape: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Return the table of ``summary`` as a list of dictionaries."""
        return summary.rows(self._chain, self._shape_for_summary(input_shape))

    def _shape_for_summary(self, given):
        shape = given or self.input_shape
        if shape is None:
            raise ShapeError("summary: this network has no input_shape; give one, such as summary((3, 224, 224))")
        return tuple(shape)

    def with_layers(self, layers: Sequence, device: str | None = None) -> Network:
        """Return a network of other layers, or on another device; all else is as in this one."""
        return Network(
            layers,
            self.input_shape,
            self.preprocess,
            self.labels,
            device=device or self.device,
            name=self.name,
        )

    def to(self, device: str) -> Network:
        """Return the same network on another device; this one stays as it is.

        "auto" is "cpu", where that is installed, if one image is much work, and "reference" if it is little.
        On "cuda" parameters are sent once; one whose array is then written to in place is not sent again.
        """
        if device == "auto":
            device = choose(sum(row["multiply_adds"] for row in self.summary_rows()) if self.input_shape else 0)
        return self.with_layers(self._chain, device)

    def fold_batch_norm(self) -> Network:
        """Return a network that computes the same with its batch normalisations folded into convolutions."""
        return self.with_layers(fold_batch_norm(self._chain))

    # parameters

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return the parameters by their dotted names, in order; the arrays themselves, not copies."""
        return sequence.state_dict(self._chain)

    @classmethod
    def from_state_dict(cls, layers: Sequence, mapping: Mapping[str, np.ndarray], *args, **kwargs) -> Network:
        """Return a network of ``layers`` whose parameters are the arrays of ``mapping``, neither drawn nor copied.

        The other arguments are those of ``Network``; raises as ``load_state_dict`` does.
        """
        named = sequence.name_layers(layers)
        return cls(sequence.with_state_dict(named, sequence.check_state_dict(mapping, named)), *args, **kwargs)

    def load_state_dict(self, mapping: Mapping[str, np.ndarray]) -> None:
        """Replace all parameters; float64 arrays stay float64, half precision becomes float32.

        ``num_batches_tracked``, which only training reads, may be among them and is ignored.

        Raises
        ------
        WeightsError
            If names are missing or left over, or shapes differ; each of them is named.

        """
        arrays = {name: np.array(array) for name, array in sequence.check_state_dict(mapping, self._chain).items()}
        self._chain = sequence.with_state_dict(self._chain, arrays)
        self._runner = Executor(self._chain, self.device)

    # forward

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the unnormalised class scores (N, K): ``forward`` up to the last layer before a softmax."""
        return self.forward(x)

    def forward(self, x: np.ndarray, upto: str | None = None, *, allow_nonfinite: bool = False) -> np.ndarray:
        """Return the scores, or the output of the layer named ``upto``.

        Parameters
        ----------
        x : array of shape (N, C, H, W), float32 or float64
            With float64 everything is computed in float64.
        upto : str, optional
            Name of a layer; a dotted name reaches into blocks.
        allow_nonfinite : bool
            Let NaN and infinity pass instead of raising.

        Returns
        -------
        y : array of shape (N, K), or (N, K, P, Q) for a layer of maps

        Raises
        ------
        ShapeError
            If x has another shape or dtype than expected, or holds NaN or infinity.
        MinicnnError
            If there is no such layer.

        """
        plan = self._ready(x, upto, allow_nonfinite)

        def run(x, _):
            with self._runner.one(plan, x, upto) as one:
                return np.asarray(one.forward(self._runner.send(x, plan)))

        return concatenate(self._runner.parts(run, x))

    def trace(self, x: np.ndarray, upto: str | None = None, *, allow_nonfinite: bool = False):
        """Return ``forward``'s output, and the tape with which ``backward`` goes back from it, again and again."""
        plan = self._ready(x, upto, allow_nonfinite)
        y, saved = sequence.forward(plan.steps, self._runner.send(x, plan), self._runner.kernels, Keep.MASKS)
        return np.asarray(y), Tape(plan.steps, saved)

    def _ready(self, x, upto, allow_nonfinite) -> Program:
        """Return what to run, in the dtype to run it in, once x is fit for it."""
        check_array(x, "input x", None if self.input_shape is None else len(self.input_shape) + 1)
        if self.input_shape is not None and x.shape[1:] != self.input_shape:
            expected = ("N", *self.input_shape)
            raise ShapeError(f"input x: expected shape ({', '.join(map(str, expected))}), got {x.shape}")
        if not allow_nonfinite and not np.isfinite(x).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
            raise ShapeError(
                f"input x: holds {x[where]} at {where}; clean it, or pass allow_nonfinite=True to let it through"
            )
        plan = self._runner.plan(upto)
        if self.input_shape is None:
            sequence.output_shape(plan.layers, x.shape[1:])
        return plan if x.dtype != np.float64 else self._runner.widened(upto)

    # backward

    def backward(self, tape: Tape, dy: np.ndarray, rule: str | rules.Rule = "gradient") -> np.ndarray:
        """Return the gradient with respect to the input of <dy, y>, from ``trace``'s tape."""
        dy = send(dy, self.device)
        dx, _ = sequence.backward(tape.layers, dy, tape.saved, self._runner.kernels, rules.as_rule(rule))
        return np.asarray(dx)

    def input_gradient(
        self,
        x: np.ndarray,
        target: int | np.ndarray,
        rule: str | rules.Rule = "gradient",
        layer: str | None = None,
        of: str = "score",
        *,
        allow_nonfinite: bool = False,
    ) -> np.ndarray:
        """Gradient of a class score, or of any layer's output, with respect to the input.

        w = dS_c / dI at x (paper, equation 2), for every image of the batch.

        Parameters
        ----------
        x : array of shape (N, C, H, W), float32 or float64
        target : int, ints of shape (N,), or a float array shaped like the layer's output
            A class for all images, a class for each image, or the cotangent itself.
        rule : "gradient", "deconvnet" or "guided"
            What ReLU does backward, see ``minicnn.rules``.
        layer : str, optional
            Start at this layer's output instead of the scores.
        of : "score" or "probability"
            "probability" differentiates the softmax posterior (Baehrens et al. 2010) instead of the score.

        Returns
        -------
        dx : array of the shape and dtype of x

        Raises
        ------
        ShapeError
            If x or a cotangent has another shape or dtype than expected.
        MinicnnError
            If the target is no class, the rule, the layer or ``of`` is unknown, or a rectifier of the net is
            not covered by the rule.

        """
        rule, plan = rules.as_rule(rule), self._ready(x, layer, allow_nonfinite)

        def run(x, target):
            # the output stays where it is: only its shape counts
            with self._runner.one(plan, x, layer, Keep.MASKS, rule) as one:
                y = one.forward(self._runner.send(x, plan))
                dx = one.backward(send(self.cotangent(y, target, of), self.device))
            return np.asarray(dx).astype(x.dtype, copy=False)

        return concatenate(self._runner.parts(run, x, np.asarray(target)))

    def cotangent(self, y: np.ndarray, target: int | np.ndarray, of: str = "score") -> np.ndarray:
        """Gradient of the chosen scalars with respect to the output y; arguments as in ``input_gradient``."""
        if of not in ("score", "probability"):
            raise MinicnnError(f"of: expected 'score' or 'probability', got {of!r}")
        dy = as_cotangent(y, target)
        if of == "probability":
            if y.ndim != 2:
                raise ShapeError(f"of='probability': expected scores of shape (N, K), got {y.shape}")
            dy = dy if isinstance(y, np.ndarray) else send(dy, self.device)
            dy = self._runner.kernels.softmax_input_grad(dy, self._runner.kernels.softmax(y))
        return dy

    def loss_gradient(
        self, x: np.ndarray, labels: np.ndarray, *, rng: np.random.Generator | None = None
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Mean softmax cross-entropy over the batch, and its gradient with respect to every parameter.

        Parameters
        ----------
        x : array of shape (N, C, H, W), float32 or float64
        labels : ints of shape (N,), 0 .. K - 1
        rng : numpy.random.Generator, optional
            Turns dropout on.

        Returns
        -------
        loss : float
        gradients : {parameter name: array of the parameter's shape}
            Running statistics, which no gradient reaches, are not among them.

        """
        plan = self._ready(x, None, allow_nonfinite=False)
        parts = self._runner.parts(
            lambda x, labels: self._loss_gradient(plan, x, labels, rng), x, np.asarray(labels)
        )
        loss = sum(n / len(x) * loss for n, (loss, _) in parts)
        first = parts[0][1][1]
        if len(parts) == 1:
            return loss, first
        return loss, {
            name: sum(array.dtype.type(n / len(x)) * own[name] for n, (_, own) in parts)
            for name, array in first.items()
        }

    def _loss_gradient(self, plan, x, labels, rng) -> tuple[float, dict[str, np.ndarray]]:
        kernels, steps = self._runner.kernels, self._runner.steps(plan.layers, training=True)
        scores, saved = sequence.forward(steps, self._runner.send(x, plan), kernels, Keep.INPUTS, rng)
        labels = send(check_classes(labels, scores), self.device)
        dy = kernels.cross_entropy_input_grad(scores, labels)
        gradients = sequence.parameter_gradients(steps, dy, saved, kernels)
        ordered = {
            name: np.asarray(gradients[name])
            for name in sequence.parameter_shapes(plan.layers)
            if name in gradients
        }
        return float(kernels.cross_entropy(scores, labels)), ordered
