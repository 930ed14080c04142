"""From scores to a plain sparse model."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from pruning.results.advice import lost_note
from pruning.results.copying import is_functional, plain_copy, same_predictions
from pruning.results.finite import check_finite
from pruning.results.zeros import ZerosStayZero, write_zeros_last
from tfgumbel.internal import validation

logger = logging.getLogger("tfgumbel")


def _sparse_twin(model: keras.Model, values: Sequence[tuple[keras.Variable, tf.Tensor]]) -> Any:
    """A copy of a functional model that is seen to predict the same; else the model itself."""
    if not is_functional(model):
        return model
    try:
        copy = plain_copy(model)
    except Exception as error:  # a layer's own code
        reason = f"cannot be copied ({error})"
    else:
        position = {id(variable): i for i, variable in enumerate(model.weights)}
        for variable, value in values:
            copy.weights[position[id(variable)]].assign(value)
        if same_predictions(model, copy, values) is not False:
            return copy
        reason = "holds something that Keras does not copy: a copy predicts otherwise"
    logger.warning(
        "The model %r %s. So its own weights are made sparse instead. For a copy its layers need "
        "`get_config`, and `save_own_variables` or `save_assets` for what is no weight.",
        model.name,
        reason,
    )
    return model


def _warn_if_early(pruned: Any) -> None:
    """Says so where weights are cut that the training was still using."""
    done, total = int(pruned.step.numpy()), int(pruned.total_steps.numpy())
    if not done or int(pruned.settled.numpy()):
        return
    logger.warning(
        "`finalize` before the mask is fixed: %d of the schedule's %s steps are done, and %.2f%% "
        "of the weights were in use, of which %.2f%% are kept. Expect worse predictions. Train on "
        "to the end, with `fit` for all of its epochs; or say how long the training is, with "
        "`total_steps` of `prune`.",
        done,
        total or "unknown number of",
        100 * float(pruned.density),
        100 * pruned.budget.k / pruned.masks.groups.num_weights,
    )


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
        sparse: for a Sequential or functional model a copy, which was seen to predict what the
        masked model does, on random inputs; for a subclassed model, and one that cannot be copied,
        the user's own object, its weights overwritten. Compiled if `pruned` is. Its zeros stay zero
        in later training: see `keep_sparsity`.

    Raises:
        ValueError: weights are NaN or infinite, or `fine_tune` is given without a loss.
    """
    check_finite(pruned.model)
    _warn_if_early(pruned)
    # As truth values at once: a float for every weight would be held to the end.
    kept = [tf.cast(m, tf.bool) for m in pruned.masks.groups.expand(pruned.final_mask())]
    model = pruned.model
    position = {id(variable): i for i, variable in enumerate(model.weights)}
    values = []
    for target, keep in zip(pruned.targets, kept, strict=True):
        weight = tf.convert_to_tensor(target.variable)
        values.append((target.variable, tf.where(keep, weight, tf.zeros_like(weight))))
    sparse = _sparse_twin(model, values)
    for (original, value), keep in zip(values, kept, strict=True):
        variable = sparse.weights[position[id(original)]]
        variable.assign(value)
        variable.constraint = ZerosStayZero(tf.cast(keep, value.dtype), variable.constraint)
    lost = lost_note(list(zip(pruned.targets, [keep.numpy() for keep in kept], strict=True)))
    if lost is not None:
        logger.warning("In the finished model %s", lost)
    write_zeros_last(sparse)
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
