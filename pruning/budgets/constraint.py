"""The projection as a Keras constraint, for variables of the user's own."""

import keras
import numpy as np
import tensorflow as tf

from pruning.budgets.projection import project_onto_budget


@keras.saving.register_keras_serializable(package="tfgumbel")
class L0Budget(keras.constraints.Constraint):
    """Keeps a vector of keep probabilities on `{s : 0 <= s <= 1, sum(costs * s) <= k}`.

    Keras optimizers call it after every update, which makes projected gradient descent of any of
    them. The result equals `project_onto_budget(s, k)`.

    Args:
        k: The budget in units of `sum(costs * s)`: a number >= 0, one number a segment, or a
            `keras.Variable` holding either, which a schedule may assign between steps.
        costs: As in `project_onto_budget`; None (default) for 1.
        segments: As in `project_onto_budget`; None (default) for one budget.
        multiplier: A float32 `keras.Variable` of the shape of k that holds the last multiplier
            between steps, to start the next search from; None (default) starts at 0, at about
            twice the passes. Under a distribution strategy make it with
            `synchronization="on_read"`, as each replica keeps its own, all equal.

    >>> import keras
    >>> from pruning.budgets.constraint import L0Budget
    >>> s = keras.Variable([0.9, 0.8, 0.1, 0.1])
    >>> [round(x, 6) for x in L0Budget(1.0)(s).numpy().tolist()]
    [0.55, 0.45, 0.0, 0.0]
    """

    def __init__(self, k, *, costs=None, segments=None, multiplier=None):
        self.k = k
        self.costs = costs
        self.segments = None if segments is None else tuple(int(length) for length in segments)
        self.multiplier = multiplier

    def __call__(self, w):
        s, multiplier = project_onto_budget(
            w.value if isinstance(w, keras.Variable) else w,
            self.k,
            costs=self.costs,
            segments=self.segments,
            initial_multiplier=self.multiplier,
            return_multiplier=True,
        )
        if self.multiplier is not None:
            self.multiplier.assign(tf.cast(multiplier, self.multiplier.dtype))
        return s

    def get_config(self):
        """Plain values: a budget variable is written as its value, the warm start is left out."""
        return {
            "k": _plain(self.k),
            "costs": _plain(self.costs),
            "segments": None if self.segments is None else list(self.segments),
        }


def _plain(value):
    if value is None or isinstance(value, (int, float)):
        return value
    return np.asarray(keras.ops.convert_to_numpy(value)).tolist()
