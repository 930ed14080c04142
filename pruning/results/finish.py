"""From scores to a plain sparse model."""

import logging
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from pruning.results.finite import check_finite
from pruning.results.zeros import ZerosStayZero
from tfgumbel.internal import validation

logger = logging.getLogger("tfgumbel")


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

    Raises:
        ValueError: weights are NaN or infinite, or `fine_tune` is given without a loss.
    """
    check_finite(pruned.model)
    masks = pruned.masks.groups.expand(pruned.final_mask())
    model = pruned.model
    position = {id(variable): i for i, variable in enumerate(model.weights)}
    sparse = _plain_copy(model)
    for target, mask in zip(pruned.targets, masks, strict=True):
        weight = tf.convert_to_tensor(target.variable)
        kept = tf.cast(mask, tf.bool)
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
        check_finite(sparse)
    return sparse
