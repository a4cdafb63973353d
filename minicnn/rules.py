"""What ReLU does backward: the whole difference between gradient, deconvnet and guided backpropagation.

For ReLU with input x and cotangent dy:  dx = dy [x > 0]^a [dy > 0]^b.  A rule is the two exponents.  Every other
layer ignores it: convolution and max-pool act alike in all three (paper section 4), normalisations, gates (a
sigmoid) and elementary functions are differentiated exactly whatever the rule, and what stands where a rectifier
would (LeakyReLU, SiLU, GELU, tanh, ...) raises: no rule is defined for it.
"""

from __future__ import annotations

from typing import NamedTuple

from minicnn.errors import MinicnnError

__all__ = ["DECONVNET", "GRADIENT", "GUIDED", "RULES", "Rule", "as_rule", "check_is_gradient"]


class Rule(NamedTuple):
    """A backward rule of ReLU: dx = dy [x > 0]^a [dy > 0]^b; one of your own wherever a rule is taken.

    Attributes
    ----------
    name : str
        What results call it.
    where_input_positive : bool, the exponent a
    where_cotangent_positive : bool, the exponent b

    Examples
    --------
    >>> from minicnn.rules import GUIDED
    >>> GUIDED.where_input_positive and GUIDED.where_cotangent_positive
    True

    The fourth, which sends everything back:

    >>> import numpy as np
    >>> from minicnn import Network, layers
    >>> x, dy = np.array([[-1.0, 2.0]]), np.array([[-3.0, 4.0]])
    >>> Network([layers.ReLU()]).input_gradient(x, dy, Rule("everything", False, False)).tolist()
    [[-3.0, 4.0]]

    """

    name: str
    where_input_positive: bool
    where_cotangent_positive: bool

    @property
    def is_gradient(self) -> bool:
        """Whether it is the derivative, whatever it is called."""
        return self[1:] == (True, False)


GRADIENT = Rule("gradient", True, False)  # Simonyan et al. 2013
DECONVNET = Rule("deconvnet", False, True)  # Zeiler, Fergus 2013
GUIDED = Rule("guided", True, True)  # Springenberg et al. 2014
RULES = (GRADIENT, DECONVNET, GUIDED)


def as_rule(rule: str | Rule) -> Rule:
    """Return the rule of that name; a Rule passes through.

    Raises
    ------
    MinicnnError
        If no rule has that name, or the exponents are not two truth values.

    Examples
    --------
    >>> as_rule("deconvnet")
    Rule(name='deconvnet', where_input_positive=False, where_cotangent_positive=True)

    """
    if isinstance(rule, Rule) and isinstance(rule.name, str) and all(value in (True, False) for value in rule[1:]):
        return rule
    for known in RULES:
        if rule == known.name:
            return known
    raise MinicnnError(
        f"unknown rule {rule!r}; expected 'gradient', 'deconvnet', 'guided', or one of your own, "
        "minicnn.rules.Rule('mine', True, False)"
    )


def check_is_gradient(layer: str, rule: Rule) -> None:
    """Raise MinicnnError, in a layer's name, for any rule but the gradient.

    Examples
    --------
    >>> check_is_gradient("SiLU()", GRADIENT)

    """
    if not rule.is_gradient:
        raise MinicnnError(
            f"{layer}: the rule {rule.name!r} is defined for rectifiers (ReLU, ReLU6, Hardtanh from 0) only; "
            "use rule='gradient' here"
        )
