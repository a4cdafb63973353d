"""The digits network in JAX: what ``minicnn compare digits --with jax_digits:scores`` runs, in this folder."""

import jax
import jax.numpy as jnp

import minicnn

STATE = {name: jnp.asarray(array) for name, array in minicnn.load("digits").state_dict().items()}


def scores(x):
    """Return the scores of x, (N, 1, 28, 28), as (N, 10)."""
    y = jnp.asarray(x)
    for i in (0, 3, 6):
        weight, bias = STATE[f"conv_layers.{i}.weight"], STATE[f"conv_layers.{i}.bias"]
        y = jax.lax.conv(y, weight.astype(y.dtype), (1, 1), "SAME") + bias[:, None, None]
        y = jax.lax.reduce_window(jax.nn.relu(y), -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    y = y.reshape(len(y), -1)
    y = jax.nn.relu(y @ STATE["fc_layers.0.weight"].T + STATE["fc_layers.0.bias"])
    return y @ STATE["fc_layers.2.weight"].T + STATE["fc_layers.2.bias"]
