"""From learned scores to a plain sparse model, and keeping its zeros."""

import logging
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from pruning.groups.targets import VECTOR_ROLES, candidates
from tfgumbel.internal import validation

logger = logging.getLogger("tfgumbel")


class ZerosStayZero(keras.constraints.Constraint):
    """Keeps the entries of a weight that are zero now at zero, after the weight's own constraint.

    Args:
        weight: the tensor whose zeros are to stay.
        inner: a constraint to apply first, or None.
    """

    def __init__(self, weight: tf.Tensor, inner: Any = None):
        self.kept = tf.not_equal(weight, 0)
        self.inner = inner

    def __call__(self, w):
        w = tf.convert_to_tensor(w if self.inner is None else self.inner(w))
        return tf.where(self.kept, w, tf.zeros_like(w))


def keep_sparsity(model: keras.Model) -> keras.Model:
    """Makes every later training step of a sparse model leave its zeros at zero.

    Each weight with two axes or more that has zeros gets a constraint, which Keras optimizers apply
    after every update, in `fit` and in custom loops alike. A saved file does not hold it: call this
    again after loading. `finalize` has called it already. Biases and normalisation weights are
    left alone.

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
    return model


def _is_functional(model: keras.Model) -> bool:
    x = keras.Input((1,))
    return isinstance(model, keras.Sequential) or type(model) is type(keras.Model(x, x))


def _plain_copy(model: keras.Model) -> keras.Model:
    """A copy of a Sequential or functional model; any other model itself."""
    if not _is_functional(model):
        return model
    try:
        copy = keras.models.clone_model(model)
    except (NotImplementedError, TypeError, ValueError) as error:
        logger.warning(
            "The model %r cannot be copied (%s): its own weights are made sparse instead.",
            model.name,
            error,
        )
        return model
    copy.set_weights(model.get_weights())
    return copy


def compile_alike(arguments: Mapping[str, Any], model: keras.Model) -> None:
    """Compiles a model with the same arguments but an optimizer and metrics of its own."""

    def fresh(value: Any) -> Any:
        if isinstance(value, (keras.optimizers.Optimizer, keras.metrics.Metric)):
            return type(value).from_config(value.get_config())
        return value

    model.compile(
        **{
            name: keras.tree.map_structure(fresh, value)
            if name in ("optimizer", "metrics", "weighted_metrics")
            else value
            for name, value in arguments.items()
        }
    )


def finalize(pruned: Any, fine_tune: Mapping[str, Any] | None = None) -> keras.Model:
    """Returns a plain Keras model with the best groups of weights kept and all others zero.

    Keeps the highest scores that fit the budget; equal scores go by the larger mean |w|, then by
    their order in `model.weights`. Unstructured, that is exactly k weights; with groups, the
    largest total that the groups in this order fill without going above k.

    Args:
        pruned: a `PrunedModel`.
        fine_tune: arguments of `fit` for further training with the zeros kept, by the loss and
            metrics `pruned` was compiled with and a fresh optimizer of its kind; None for none.

    Returns:
        sparse: for a Sequential or functional model a copy; for a subclassed model the user's own
        object, its weights overwritten. Compiled if `pruned` is. Its zeros stay zero in later
        training: see `keep_sparsity`.
    """
    mask = pruned.final_mask()
    parts = tf.split(mask, [grid.num_groups for grid in pruned.grids])
    model = pruned.model
    position = {id(variable): i for i, variable in enumerate(model.weights)}
    sparse = _plain_copy(model)
    for target, grid, part in zip(pruned.targets, pruned.grids, parts, strict=True):
        weight = tf.convert_to_tensor(target.variable)
        kept = tf.cast(grid.expand(part), tf.bool)
        variable = sparse.weights[position[id(target.variable)]]
        variable.assign(tf.where(kept, weight, tf.zeros_like(weight)))
        variable.constraint = ZerosStayZero(tf.cast(kept, weight.dtype), variable.constraint)
    if pruned.compiled:
        pruned.compile_alike(sparse)
    if fine_tune is not None:
        if not pruned.compiled:
            raise ValueError(
                validation.describe(
                    "`fine_tune` needs a loss.",
                    expected="a compiled model",
                    received=f"{pruned.name!r}, not compiled",
                    fix="call its `compile` before `finalize`",
                )
            )
        sparse.fit(**fine_tune)
    return sparse
