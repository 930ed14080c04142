"""`prune`: the entry to learning sparse networks."""

import logging
from collections.abc import Mapping

import keras

from pruning.pruned_model import PrunedModel
from pruning.schedules import PruningSchedule
from pruning.targets import Filter, iterate_layers

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
    schedule: PruningSchedule | None = None,
    score_learning_rate: float = 4.0,
    total_steps: int | None = None,
    seed: int | None = None,
) -> PrunedModel:
    """Learns which weights of a Keras model to keep, under an exact budget.

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
        raise TypeError(f"`model` must be a keras.Model. Received: {model!r}.")
    if any(isinstance(layer, PrunedModel) for layer in iterate_layers(model)):
        raise ValueError(
            f"The model {model.name!r} is being pruned already. Finish with `finalize()` first, "
            "and prune its result."
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
        schedule=schedule,
        score_learning_rate=score_learning_rate,
        total_steps=total_steps,
        seed=seed,
    )
    for name, reason in pruned.left.items():
        logger.info("Not pruned: %s (%s).", name, reason)
    return pruned
