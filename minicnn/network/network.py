"""A network: named layers, run forward and backward; a loop each way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn import rules
from minicnn._utils.types import Shape
from minicnn.errors import MinicnnError
from minicnn.kernels import choose, send
from minicnn.layers import Keep, Layer, LogSoftmax, Softmax, sequence
from minicnn.layers.sequence import NamedLayers
from minicnn.layers.transforms.fold_batch_norm import fold_batch_norm
from minicnn.network import loss, summary
from minicnn.network.check_input import check_input
from minicnn.network.executor import Executor, Program
from minicnn.network.targets import Target, cotangent

if TYPE_CHECKING:
    from minicnn.images import Preprocess

__all__ = ["Network", "Tape"]


class Tape(NamedTuple):
    """What a forward pass leaves for backward passes.

    Attributes
    ----------
    layers : those it ran, as (name, layer) pairs
    saved : list, what each of them kept

    """

    layers: NamedLayers
    saved: list[Any]


class Network:
    """A ConvNet: a list of layers, where its input comes from, and what its outputs mean.

    Nothing of an input is kept between calls, so one network may serve many threads.

    Parameters
    ----------
    layers : list of layers, or of (name, layer) pairs
        Layers without a name are called by their place, "0", "1", ..., as in ``torch.nn.Sequential``.  A
        ``Softmax`` or ``Sigmoid`` at the end stays outside of the scores.
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

    See Also
    --------
    minicnn.load : a network from a file, or by its name
    minicnn.zoo.build : a published architecture with random weights

    Examples
    --------
    >>> from minicnn import Network
    >>> from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
    >>> layers = [Conv2d(1, 4, 3, padding=1), ReLU(), MaxPool2d(2), Flatten(), Linear(4 * 4 * 4, 3)]
    >>> net = Network(layers, input_shape=(1, 8, 8), labels=["cat", "dog", "bird"])
    >>> net
    <Network network: 5 layers, 235 parameters, on reference>
    >>> net(np.zeros((2, 1, 8, 8), np.float32)).shape
    (2, 3)

    """

    def __init__(
        self,
        layers: Sequence[Any],
        input_shape: Sequence[int] | None = None,
        preprocess: Preprocess | None = None,
        labels: Sequence[str] | None = None,
        *,
        device: str = "reference",
        seed: int = 0,
        name: str = "network",
    ):
        # parameters that are arrays already are left as they are; the seed is for the others
        self._layers = sequence.initialise(sequence.name_layers(layers), np.random.default_rng(seed))
        self.input_shape = None if input_shape is None else tuple(int(n) for n in input_shape)
        self.preprocess = preprocess
        self.labels = None if labels is None else list(labels)
        self.name, self.device, self._executor = name, device, Executor(self._layers, device)
        self.check_labels()

    def check_labels(self) -> None:
        """Raise MinicnnError unless there are as many labels as scores, and ShapeError unless the layers fit."""
        if self.input_shape is None:
            return
        scores_shape = sequence.output_shape(sequence.before_softmax(self._layers), self.input_shape)
        if self.labels is not None and not _fit(len(self.labels), scores_shape):
            raise MinicnnError(
                f"{len(self.labels)} labels do not fit scores of shape {scores_shape} for each image"
            )

    def __repr__(self) -> str:
        """Name, size and device."""
        count = sum(a.size for a in self.state_dict().values())
        return f"<Network {self.name}: {len(self._layers)} layers, {count:,} parameters, on {self.device}>"

    # a device's module can't be pickled or copied: it is looked up again
    def __getstate__(self) -> dict[str, Any]:
        """Return all but what runs it, which is made anew."""
        return {name: value for name, value in vars(self).items() if name != "_executor"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what ``__getstate__`` gave."""
        vars(self).update(state)
        self._executor = Executor(self._layers, self.device)

    # what it is made of

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return [layer for _, layer in self._layers]

    @property
    def names(self) -> list[str]:
        """The layers' names, in order."""
        return [name for name, _ in self._layers]

    @property
    def named_layers(self) -> NamedLayers:
        """The (name, layer) pairs, in order, of which ``Network`` can be made again."""
        return list(self._layers)

    @property
    def posterior(self) -> Layer:
        """What makes probabilities of the scores: a sigmoid if it ends in one, else a softmax.

        Examples
        --------
        >>> from minicnn.layers import Linear, Sigmoid
        >>> Network([Linear(4, 3), Sigmoid()]).posterior
        Sigmoid()

        """
        last = self.layers[-1] if self._layers else None
        if last is None or not last.is_posterior or isinstance(last, LogSoftmax):
            return Softmax()
        return last

    def __getitem__(self, name: str) -> Any:
        """Return the layer of that name; a dotted name reaches into blocks.

        Examples
        --------
        >>> import minicnn
        >>> minicnn.load("digits")["conv_layers.2"].kernel_size
        (2, 2)

        """
        return sequence.find(self._layers, name)

    def summary(self, input_shape: Sequence[int] | None = None) -> str:
        """Return a table: name, type, output shape, parameters, multiply-adds and memory of each layer.

        Parameters
        ----------
        input_shape : (C, H, W), optional
            The network's own unless given.

        Raises
        ------
        ShapeError
            If neither is given, or it does not fit.

        Examples
        --------
        >>> from minicnn import Network, layers
        >>> print(Network([("full", layers.Linear(8, 2))]).summary((8,)))
        name   layer     output  parameters  multiply-adds   memory
        -----------------------------------------------------------
        input            8                                  0.0 KiB
        full   Linear    2               18             16  0.0 KiB
        -----------------------------------------------------------
        total  1 layers                  18             16  0.0 KiB

        """
        shape = summary.choose_shape(input_shape, self.input_shape)
        return summary.table(summary.rows(self._layers, shape), shape)

    def summary_rows(self, input_shape: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Return the table of ``summary`` as a list of dictionaries."""
        return summary.rows(self._layers, summary.choose_shape(input_shape, self.input_shape))

    # the same network otherwise

    def with_layers(self, layers: Sequence[Any], device: str | None = None) -> Network:
        """Return a network of other layers, or on another device; all else is as in this one."""
        return Network(
            layers,
            self.input_shape,
            self.preprocess,
            self.labels,
            device=device or self.device,
            name=self.name,
        )

    def to(self, device: str, images: int = 1) -> Network:
        """Return the same network on another device; this one stays as it is.

        Parameters
        ----------
        device : "reference", "cpu", "cuda" or "auto"
            "auto" is "cpu", where that is installed, if the images are much work, and "reference" if it is little.
            On "cuda" parameters are sent once; one whose array is then written to in place is not sent again.
        images : int
            How many are meant, for "auto": what takes long is worth a compiler's seconds.

        Raises
        ------
        DeviceError
            If there is no such device, or it can't be used here.

        Examples
        --------
        >>> import minicnn
        >>> [minicnn.load("digits").to("auto", images).device for images in (1, 1000)]
        ['reference', 'cpu']

        """
        if device == "auto":
            work = sum(row["multiply_adds"] for row in self.summary_rows()) if self.input_shape else 0
            device = choose(images * work)
        return self.with_layers(self._layers, device)

    def fold_batch_norm(self) -> Network:
        """Return a network that computes the same with its batch normalisations folded into convolutions.

        Examples
        --------
        >>> from minicnn import Network
        >>> from minicnn.layers import BatchNorm2d, Conv2d
        >>> Network([("conv", Conv2d(3, 8, 3)), ("bn", BatchNorm2d(8))]).fold_batch_norm().names
        ['conv']

        """
        return self.with_layers(fold_batch_norm(self._layers))

    # parameters

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return the parameters by their dotted names, in order; the arrays themselves, not copies.

        Examples
        --------
        >>> import minicnn
        >>> state = minicnn.load("digits").state_dict()
        >>> state["conv_layers.0.weight"].shape
        (32, 1, 3, 3)

        """
        return sequence.state_dict(self._layers)

    @classmethod
    def from_state_dict(
        cls, layers: Sequence[Any], mapping: Mapping[str, np.ndarray], *args: Any, **kwargs: Any
    ) -> Network:
        """Return a network of ``layers`` whose parameters are the arrays of ``mapping``, neither drawn nor copied.

        The other arguments are those of ``Network``; raises as ``load_state_dict`` does.
        """
        named = sequence.name_layers(layers)
        return cls(sequence.with_state_dict(named, sequence.check_state_dict(mapping, named)), *args, **kwargs)

    def load_state_dict(self, mapping: Mapping[str, np.ndarray]) -> None:
        """Replace all parameters; float64 arrays stay float64, half precision becomes float32.

        Parameters
        ----------
        mapping : {name: array}
            ``num_batches_tracked``, which only training reads, may be among them and is ignored.

        Raises
        ------
        WeightsError
            If names are missing or left over, or shapes differ; each of them is named.

        Examples
        --------
        >>> from minicnn import Network, layers
        >>> net = Network([layers.Linear(2, 1)])
        >>> net.load_state_dict({"0.weight": np.array([[1.0, 10.0]]), "0.bias": np.array([0.5])})
        >>> net(np.array([[1.0, 2.0]])).tolist()
        [[21.5]]

        """
        # copies, so that the caller's arrays may change afterwards
        arrays = {
            name: np.array(array) for name, array in sequence.check_state_dict(mapping, self._layers).items()
        }
        self._layers = sequence.with_state_dict(self._layers, arrays)
        # programs made so far hold the old parameters
        self._executor = Executor(self._layers, self.device)

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

        Examples
        --------
        >>> import minicnn
        >>> net, x = minicnn.load("digits"), np.zeros((2, 1, 28, 28), np.float32)
        >>> net.forward(x).shape
        (2, 10)
        >>> net.forward(x, upto="conv_layers.2").shape
        (2, 32, 14, 14)

        """
        return self._executor.forward(self._program(x, upto, allow_nonfinite), x)

    def trace(
        self, x: np.ndarray, upto: str | None = None, *, allow_nonfinite: bool = False
    ) -> tuple[np.ndarray, Tape]:
        """Return ``forward``'s output, and the tape with which ``backward`` goes back from it, again and again.

        See Also
        --------
        input_gradient : both at once, for one target

        Examples
        --------
        >>> from minicnn import Network, layers
        >>> net = Network([layers.Linear(2, 2, bias=False, weight=np.array([[1.0, 2.0], [3.0, 4.0]]))])
        >>> y, tape = net.trace(np.array([[1.0, 1.0]]))
        >>> [net.backward(tape, net.cotangent(y, target)).tolist() for target in (0, 1)]
        [[[1.0, 2.0]], [[3.0, 4.0]]]

        """
        program, executor = self._program(x, upto, allow_nonfinite), self._executor
        # run as it is and not replayed: the tape has to outlive the next pass
        y, saved = sequence.forward(program.steps, executor.send(x, program), executor.kernels, Keep.MASKS)
        return np.asarray(y), Tape(program.steps, saved)

    def _program(self, x: np.ndarray, upto: str | None, allow_nonfinite: bool) -> Program:
        """Return what to run, in the dtype to run it in, once x is fit for it."""
        check_input(x, self.input_shape, allow_nonfinite, self.state_dict)
        program = self._executor.program(upto)
        # without a shape to compare with, the layers say whether x fits
        if self.input_shape is None:
            sequence.output_shape(program.layers, x.shape[1:])
        return program if x.dtype != np.float64 else self._executor.program(upto, float64=True)

    # backward

    def backward(self, tape: Tape, dy: np.ndarray, rule: str | rules.Rule = "gradient") -> np.ndarray:
        """Return the gradient with respect to the input of <dy, y>, from ``trace``'s tape."""
        dy, rule = send(dy, self.device), rules.as_rule(rule)
        dx, _ = sequence.backward(tape.layers, dy, tape.saved, self._executor.kernels, rule)
        return np.asarray(dx)

    def input_gradient(
        self,
        x: np.ndarray,
        target: Target,
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
        target : int, ints of shape (N,), a float array shaped like the layer's output, or a function
            A class for all images, a class for each image, or the cotangent itself; or a function of the output
            that gives it, the gradient of a scalar of your own.
        rule : "gradient", "deconvnet", "guided", or a ``minicnn.rules.Rule`` of your own
            What ReLU does backward.
        layer : str, optional
            Start at this layer's output instead of the scores.
        of : "score" or "probability"
            "probability" differentiates the posterior (Baehrens et al. 2010) instead of the score.
        allow_nonfinite : bool
            Let NaN and infinity pass instead of raising.

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

        See Also
        --------
        minicnn.explain.saliency : the paper's maps, from this gradient

        Examples
        --------
        >>> from minicnn import Network, layers
        >>> net = Network([layers.ReLU(), layers.Linear(2, 1, weight=np.array([[3.0, -5.0]]))])
        >>> x = np.array([[1.0, 2.0], [-1.0, 2.0]])
        >>> net.input_gradient(x, 0).tolist()
        [[3.0, -5.0], [0.0, -5.0]]
        >>> net.input_gradient(x, 0, rule="guided").tolist()
        [[3.0, 0.0], [0.0, 0.0]]
        >>> net.input_gradient(x, np.sign).tolist()  # of the sum of the scores' absolute values
        [[-3.0, 5.0], [0.0, 5.0]]

        """
        rule, program = rules.as_rule(rule), self._program(x, layer, allow_nonfinite)
        # a function is not split with the batch: it is asked for each part
        own, given = (target, np.asarray(0)) if callable(target) else (None, np.asarray(target))
        return self._executor.input_gradient(
            program, x, given, lambda y, part: self.cotangent(y, part if own is None else own, of), rule
        )

    def cotangent(self, y: np.ndarray, target: Target, of: str = "score") -> np.ndarray:
        """Gradient of the chosen scalars with respect to the output y; arguments as in ``input_gradient``."""
        return cotangent(y, target, of, self._executor.kernels, self.device, self.posterior)

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

        Raises
        ------
        ShapeError
            If x has another shape or dtype than expected, or labels are no ints of shape (N,).
        MinicnnError
            If a label is no class.

        Examples
        --------
        >>> from minicnn import Network, layers
        >>> net = Network([layers.Linear(1, 2, bias=False, weight=np.zeros((2, 1)))])
        >>> loss, gradients = net.loss_gradient(np.array([[2.0]]), np.array([0]))
        >>> round(loss, 4), gradients["0.weight"].tolist()
        (0.6931, [[-1.0], [1.0]])

        """
        program = self._program(x, None, allow_nonfinite=False)
        return loss.loss_gradient(self._executor, program, x, np.asarray(labels), rng)


def _fit(labels: int, shape: Shape) -> bool:
    """Return whether there are as many labels as classes; one score has a class, or this and its negation."""
    if shape == (1,):
        return labels in (1, 2)
    # maps have their classes on the first axis, a sequence of scores on the last
    return labels in (shape[0], shape[-1]) if len(shape) == 2 else bool(shape) and labels == shape[0]
