"""`prune`: the entry to learning sparse networks."""

import logging
from collections.abc import Mapping

import keras

from pruning.groups.targets import Filter, iterate_layers
from pruning.pruned_model import SCORE_LEARNING_RATE, PrunedModel
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
) -> PrunedModel:
    """Learns which weights of a Keras model to keep, under an exact budget.

    Every group of weights (by default every weight) gets a keep probability s, learned together
    with the weights by projected gradient descent: while training, the model computes with
    `w * m`, `m = sigmoid((log(s / (1 - s)) + logistic noise) / temperature)`, and after every step
    s is projected onto `{0 <= s <= 1, sum s <= K}`. K falls from everything to the budget, the
    temperature from 1 to nearly 0; the last fifth of the time the mask is fixed and the remaining
    weights are fine-tuned.

    The gradient of a score is `w * dL/d(w m) / (2 P(m))` with P(m) the probability of the mask that
    was drawn: ReinMax, exact where the loss is quadratic in each binary mask by itself. All scores
    of a budget share one scale, so each moves in proportion to that gradient
    (`pruning/score_optimizer.py`), and one that has come to 0 can return. These choices are ours,
    and beat pathwise gradients under Adam, as in the reference, at every density tried.

    The result is a Keras model: compile it, fit it, save it, and `finalize()` it into a plain one.
    With an optimizer given by name, such as `"adam"`, the learning rate is ours: 3e-3 for the Adam
    family, with cosine decay. Your own optimizer instance is used as it is.

    Args:
        model: a built Keras model of any kind. It keeps its layers; its weights are trained.
        k: the budget: a fraction in (0, 1] of the weights that can be pruned, or an int, how many
            to keep. With groups, the largest total that fits and is not above it.
        method: `"learned"`, or a baseline at the same budgets and schedule: `"magnitude"` (gradual,
            the largest weights) or `"random"`.
        scope: `"global"` (default): the budget goes where it is worth most; `"layer"`: every
            target at the same density; or a dict from each target's name to its own k, with `k`
            left out.
        structure: `"unstructured"`, `"filter"` (whole output channels) or `"n:m"`, such as
            `"2:4"`: n of every m consecutive inputs, with `k` left out.
        block: `(outputs, inputs)`, such as `(1, 4)`: zeros in blocks of so many consecutive
            outputs by inputs, which sparse CPU kernels can use.
        targets: which weights to prune: None for all trainable kernels; a regular expression
            searched in the weight's path; a callable of a `pruning.Target`; a layer, or a list of
            any of these. Embeddings and frozen kernels must be asked for.
        exclude: the same, for what to leave alone.
        num_samples: number of noise draws averaged in every step; each costs one pass.
        hard: whether the forward mask is rounded to 0 or 1, with the gradients of the relaxed one.
        score_gradient: slope of a mask in its score: `"reinmax"` (default) takes 1 / (2 P(m));
            `"straight_through"` 1, the mean over the noise at low temperature; `"pathwise"` the
            relaxed mask's own.
        schedule: a `pruning.PruningSchedule`; None for the default.
        score_learning_rate: how far a score of typical gradient moves in a step, at the start; it
            decays as half a cosine to 0. The optimizer of the weights plays no part in it.
        total_steps: length of the schedule in training steps; None lets `fit` set it to
            `epochs * steps_per_epoch`. Needed for custom loops and for training in pieces.
        seed: seed of the noise; None takes one from Python's generator.

    Returns:
        pruned: a `pruning.PrunedModel`, not compiled. What it does not prune, and why, is in
        `pruned.left`, and logged at level INFO to the logger `"tfgumbel"`.

    Raises:
        TypeError: `model` is not a Keras model, `k` not a number, or a filter of no known kind.
        ValueError: the model is not built, has nothing to prune or is being pruned already, or an
            argument is out of range.

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

        Everything `fit` does can be done by hand:

        >>> import tensorflow as tf
        >>> data = tf.data.Dataset.from_tensor_slices((x, x[:, :2])).batch(16).repeat(5)
        >>> pruned = tfgumbel.prune(model, k=0.25, total_steps=20, seed=0)
        >>> optimizer = keras.optimizers.Adam(3e-3)
        >>> @tf.function(autograph=False)
        ... def train_step(x, y):
        ...     with tf.GradientTape() as tape:
        ...         with keras.StatelessScope(pruned.masked_weights(training=True)):
        ...             loss = tf.reduce_mean((model(x) - y) ** 2)
        ...     weights, scores = pruned.trainable_variables, pruned.scores
        ...     gradients = tape.gradient(loss, (weights, scores))
        ...     return pruned.update(*gradients, optimizer)  # ends in pruned.project()
        >>> for x_batch, y_batch in data:
        ...     logs = train_step(x_batch, y_batch)
        >>> float(logs["density"]), float(logs["settled"])
        (0.25, 1.0)
        >>> sparse = pruned.finalize()

    References:
        X. Zhou, W. Zhang, H. Xu, T. Zhang (2021), "Effective Sparsification of Neural Networks with
        Global Sparsity Constraint", CVPR, Algorithm 1.
        M. Zhu, S. Gupta (2017), "To prune, or not to prune", eq. 1.
        Y. Bengio, N. Leonard, A. Courville (2013), "Estimating or Propagating Gradients Through
        Stochastic Neurons", section 4 (straight-through).
        L. Liu, C. Dong, X. Liu, B. Yu, J. Gao (2023), "Bridging Discrete and Backpropagation:
        Straight-Through and Beyond", NeurIPS (ReinMax).
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
    )
    for name, reason in pruned.left.items():
        logger.info("Not pruned: %s (%s).", name, reason)
    return pruned
