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
    """A backward rule of ReLU: dx = dy [x > 0]^a [dy > 0]^b.

    Attributes
    ----------
    name : str
    where_input_positive : bool, the exponent a
    where_cotangent_positive : bool, the exponent b

    Examples
    --------
    >>> from minicnn.rules import GUIDED
    >>> GUIDED.where_input_positive and GUIDED.where_cotangent_positive
    True

    """

    name: str
    where_input_positive: bool
    where_cotangent_positive: bool


GRADIENT = Rule("gradient", True, False)  # Simonyan et al. 2013
DECONVNET = Rule("deconvnet", False, True)  # Zeiler, Fergus 2013
GUIDED = Rule("guided", True, True)  # Springenberg et al. 2014
RULES = (GRADIENT, DECONVNET, GUIDED)


def as_rule(rule: str | Rule) -> Rule:
    """Return the rule of that name; a Rule passes through.

    Raises
    ------
    MinicnnError
        If no rule has that name.

    Examples
    --------
    >>> as_rule("deconvnet")
    Rule(name='deconvnet', where_input_positive=False, where_cotangent_positive=True)

    """
    for known in RULES:
        if rule in (known, known.name):
            return known
    raise MinicnnError(f"unknown rule {rule!r}; expected 'gradient', 'deconvnet' or 'guided'")


def check_is_gradient(layer: str, rule: Rule) -> None:
    """Raise MinicnnError, in a layer's name, for any rule but the gradient.

    Examples
    --------
    >>> check_is_gradient("SiLU()", GRADIENT)

    """
    if rule != GRADIENT:
        raise MinicnnError(
            f"{layer}: the rule {rule.name!r} is defined for rectifiers (ReLU, ReLU6, Hardtanh from 0) only; "
            "use rule='gradient' here"
        )
