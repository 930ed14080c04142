"""`prune`: the entry to learning sparse networks."""

import logging
from collections.abc import Mapping

import keras

from pruning.groups.targets import Filter, iterate_layers
from pruning.methods.learned import SCORE_LEARNING_RATE
from pruning.pruned_model import PrunedModel
from pruning.results.finite import check_finite
from pruning.results.zeros import zeros_held
from pruning.training.own_steps import replaced_loops
from pruning.training.schedules import PruningSchedule
from tfgumbel.internal import validation

logger = logging.getLogger("tfgumbel")


def prune(
    model: keras.Model,
    k: float | int | None = None,
    *,
    method: str = "learned",
    scope: str | Mapping[str, float | int] = "global",
    structure: str = "unstructured",
    block: tuple[int, int] | None = None,
    targets: Filter | None = None,
    exclude: Filter | None = None,
    num_samples: int = 1,
    hard: bool = False,
    score_gradient: str = "reinmax",
    schedule: PruningSchedule | None = None,
    score_learning_rate: float = SCORE_LEARNING_RATE,
    total_steps: int | None = None,
    seed: int | None = None,
    renew_statistics: bool = True,
) -> PrunedModel:
    """Learns which weights of a Keras model to keep, under an exact budget.

    While training, the model computes with `w * m`, m a random mask for each weight or group of
    weights, whose probability of being kept is learned with the weights. The budget falls from
    everything to `k`; in the last part of the training the mask is fixed and the rest fine-tuned.
    The result is a Keras model: compile it, fit it, save it, and `finalize()` it into a plain one.
    Its weights are trained in place.

    Args:
        model: a built Keras model of any kind.
        k: the budget: a fraction in (0, 1] of the weights that can be pruned, or an int, how many
            to keep. With groups, the largest total that fits and is not above it.
        method: `"learned"`, or a baseline at the same budgets and schedule: `"magnitude"` (gradual,
            the largest weights) or `"random"`.
        scope: `"global"` (default): the budget goes where it is worth most; `"layer"`: every
            target at the same density; or a dict to a k of its own from each target's name, or
            from a regular expression, for every target that it fits alone, with `k` left out.
        structure: `"unstructured"`, `"filter"` (whole output channels; the layers that give the
            model's outputs are left alone unless `targets` names them) or `"n:m"`, such as
            `"2:4"`: n of every m consecutive inputs, with `k` left out.
        block: `(outputs, inputs)`, such as `(1, 4)`: zeros in blocks of so many consecutive
            outputs by inputs, which sparse CPU kernels can use.
        targets: which weights to prune: None for all trainable kernels; a regular expression
            searched in the weight's path; a callable of a `pruning.Target`; a layer, or a list of
            any of these. Embeddings and frozen kernels must be asked for.
        exclude: the same, for what to leave alone.
        num_samples: number of noise draws averaged in every step; each costs one pass.
        hard: whether the forward mask is rounded to 0 or 1, with the gradients of the relaxed one.
        score_gradient: slope of a mask in its score: `"reinmax"` (default), `"straight_through"` or
            `"pathwise"`.
        schedule: a `pruning.PruningSchedule`; None for the default, which for whole filters fixes
            the mask at half of the training, and draws masks with half of the noise until then.
        score_learning_rate: how far a score of typical gradient moves in a step, at the start; it
            decays as half a cosine to 0. The optimizer of the weights plays no part in it.
        total_steps: length of the schedule in training steps; None lets `fit` set it to
            `epochs * steps_per_epoch`. Needed for custom loops and for training in pieces.
        seed: seed of the noise; None takes one from Python's generator.
        renew_statistics: whether `BatchNormalization` forgets the moving statistics of randomly
            masked batches once the mask is fixed; False leaves them to its momentum.

    Returns:
        pruned: a `pruning.PrunedModel`, not compiled. What it does not prune, and why, is in
        `pruned.left`, and logged at level INFO to the logger `"tfgumbel"`.

    Raises:
        TypeError: `model` is not a Keras model, `k` not a number, or a filter or schedule of no
            known kind.
        ValueError: the model is not built, has nothing to prune, has weights that are not finite or
            is being pruned already, or an argument is out of range.

    Example:
        >>> import keras, numpy as np, tfgumbel
        >>> model = keras.Sequential(
        ...     [keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(2)])
        >>> pruned = tfgumbel.prune(model, k=0.25, seed=0)
        >>> pruned.compile(optimizer="adam", loss="mse")
        >>> x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
        >>> _ = pruned.fit(x, x[:, :2], epochs=5, verbose=0)
        >>> sparse = pruned.finalize()
        >>> sum(int((w != 0).sum()) for w in sparse.get_weights() if w.ndim == 2)
        40
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            validation.describe(
                "`model` cannot be pruned.",
                expected="a keras.Model",
                received=model,
                fix="put a single layer into a keras.Sequential with an Input",
            )
        )
    if any(isinstance(layer, PrunedModel) for layer in iterate_layers(model)):
        raise ValueError(
            validation.describe(
                "`model` is being pruned already.",
                expected="a plain Keras model",
                received=f"{model.name!r}, which is or holds a PrunedModel",
                fix="call its `finalize()`, and prune the result",
            )
        )
    check_finite(model)
    pruned = PrunedModel(
        model,
        k,
        method=method,
        scope=scope,
        structure=structure,
        block=block,
        targets=targets,
        exclude=exclude,
        num_samples=num_samples,
        hard=hard,
        score_gradient=score_gradient,
        schedule=schedule,
        score_learning_rate=score_learning_rate,
        total_steps=total_steps,
        seed=seed,
        renew_statistics=renew_statistics,
    )
    for name, reason in pruned.left.items():
        logger.info("Not pruned: %s (%s).", name, reason)
    if pruned.outputs_unknown:
        logger.warning(
            "Which layers give the outputs of %s cannot be seen, so their filters are pruned with "
            "the others: some of the outputs may come to nothing. `exclude` those layers, or name "
            "in `targets` the ones to prune.",
            type(model).__name__,
        )
    for name in replaced_loops(model):
        logger.warning(
            "%s defines its own `%s`, which is not called while it is pruned: that of the pruned "
            "model is Keras's. Move what it does into `train_step`, or write a loop with "
            "`masked_weights` and `update`.",
            type(model).__name__,
            name,
        )
    held, size = zeros_held(pruned.targets), pruned.masks.groups.num_weights
    if pruned.budget.k > size - held:
        logger.warning(
            "A budget of %d weights, but %d of %d are zeros that stay zero: at most %d are kept. "
            "For more, set the `constraint` of their variables to None, or prune the dense model.",
            pruned.budget.k,
            held,
            size,
            size - held,
        )
    return pruned
