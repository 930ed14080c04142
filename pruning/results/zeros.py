"""Keeping the zeros of a sparse model at zero."""

import functools
from typing import Any

import keras
import tensorflow as tf

from pruning.groups.targets import VECTOR_ROLES, candidates
from tfgumbel.internal import validation


class ZerosStayZero(keras.constraints.Constraint):
    """Keeps the zeros of a weight at zero, and holds the weight's own constraint.

    Args:
        weight: the tensor whose zeros are to stay.
        inner: the weight's own constraint, or None; it sees the zeros.
    """

    def __init__(self, weight: tf.Tensor, inner: Any = None):
        self.kept = tf.not_equal(weight, 0)
        self.inner = inner

    def __call__(self, w):
        w = self._cut(tf.convert_to_tensor(w))
        return w if self.inner is None else self._cut(tf.convert_to_tensor(self.inner(w)))

    def _cut(self, w: tf.Tensor) -> tf.Tensor:
        return tf.where(self.kept, w, tf.zeros_like(w))


def write_zeros_last(model: keras.Model) -> None:
    """Has the optimizers that a model is compiled with write averages (`use_ema`) with its zeros.

    At the end of `fit` they put averages of the weights in their place, after the constraints.
    """

    def hold(optimizer: Any) -> None:
        write = getattr(optimizer, "finalize_variable_values", None)
        if write is None or "finalize_variable_values" in vars(optimizer):
            return

        def finalize_variable_values(var_list: Any) -> None:
            write(var_list)
            for variable in var_list:
                if isinstance(variable.constraint, ZerosStayZero):
                    variable.assign(variable.constraint(variable))

        optimizer.finalize_variable_values = finalize_variable_values

    if "compile" not in vars(model):
        compile_model = model.compile

        @functools.wraps(compile_model)
        def compile_and_hold(*args: Any, **kwargs: Any) -> None:
            compile_model(*args, **kwargs)
            hold(getattr(model, "optimizer", None))

        model.compile = compile_and_hold
    hold(getattr(model, "optimizer", None))


def zeros_held(targets: Any) -> int:
    """How many entries of these targets a constraint of ours holds at zero."""
    return sum(
        int(tf.math.count_nonzero(~target.variable.constraint.kept))
        for target in targets
        if isinstance(target.variable.constraint, ZerosStayZero)
    )


def keep_sparsity(model: keras.Model) -> keras.Model:
    """Makes every later training step of a sparse model leave its zeros at zero.

    Each weight with two axes or more that has zeros gets a constraint, which Keras optimizers apply
    after every update, in `fit` and in custom loops alike. An optimizer with `use_ema` that the
    model is compiled with writes its averages with the zeros, too. A saved file does not hold it:
    call this again after loading. `finalize` has called it already. Biases and normalisation
    weights are left alone.

    Args:
        model: a built Keras model.

    Returns:
        model: the same object.

    Raises:
        ValueError: no weight of the model has zeros.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.set_weights([np.array([[0.0], [0.5]])])
        >>> keep_sparsity(model).compile("sgd", "mse")
        >>> _ = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
        >>> (model.get_weights()[0] != 0).ravel().tolist()
        [False, True]
    """
    found = False
    for target in candidates(model):
        if len(target.shape) < 2 or target.role in VECTOR_ROLES:
            continue
        weight = tf.convert_to_tensor(target.variable)
        if not bool(tf.reduce_all(tf.not_equal(weight, 0))):
            inner = target.variable.constraint
            inner = inner.inner if isinstance(inner, ZerosStayZero) else inner
            target.variable.constraint = ZerosStayZero(weight, inner)
            found = True
    if not found:
        raise ValueError(
            validation.describe(
                "`model` has no zeros to keep.",
                expected="a sparse model, such as `finalize` returns",
                received=f"{model.name!r}, every weight of it dense",
                fix="prune it first",
            )
        )
    write_zeros_last(model)
    return model
