"""Measures the discrete layers of a model on a few batches: `measure_latents`, and its parts."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics.latent_probe import Loss, Probe, Run, read_batches
from tfgumbel.diagnostics.latent_statistics import CallSums, LatentStatistics, by_layer
from tfgumbel.internal import random, validation
from tfgumbel.layers.base import DiscreteLayer

# Root mean square of the step of the logits that is tried: enough to change a class here and there,
# too little for the curvature of a softmax to count.
_STEP = 0.5


def measure_latents(
    model: Any,
    data: Any,
    *,
    loss: Loss | None = None,
    priors: Mapping[str, Any] | None = None,
    shared_codes: Collection[str] = (),
    num_batches: int = 2,
    batch_size: int = 32,
    num_draws: int = 4,
    seed: int = 0,
) -> dict[str, LatentStatistics]:
    """Measures what the discrete layers of a model do: what `LatentMonitor` does at every epoch.

    For training loops of one's own. The model's training step is run on a few batches, several
    times with different noise, and what it writes is put back: weights, seeds and metrics are
    afterwards what they were. A layer counts that is called in the step itself: one inside a loop,
    such as an RNN's cell, or inside a `tf.function` of the model cannot be seen.

    Args:
        model: A Keras model with layers of `tfgumbel.layers`, however nested.
        data: A few of the training data: a batched `tf.data.Dataset`, a `keras.utils.PyDataset`, or
            arrays x, (x,), (x, y) or (x, y, sample_weight), each an array or a nest of them.
        loss: `loss(model, batch) -> scalar`, in training mode, a batch being one of `data`. None
            for what the model is compiled with, or where it has a `train_step` of its own, the
            "loss" that this returns: `gradient_truth` is then unknown, for want of the very loss
            that is differentiated.
        priors: Layer's name to the prior's logits, shaped as the layer's, the classes last, or
            broadcasting to them. Uniform where not given.
        shared_codes: Names of layers whose classes mean the same in all variables, as those of an
            image's patches do: the codes in use are then counted together.
        num_batches: How many batches of `data` to take.
        batch_size: Of `data` given as arrays.
        num_draws: Draws of the noise for each batch, an int >= 2.
        seed: Of the noise; the same seed, the same noise.

    Returns:
        statistics: Layer's name to what was measured of it, in the order of the calls.

    Raises:
        TypeError: if `data` is a generator.
        ValueError: if a number is wrong, `data` is empty, or no discrete layer was seen.

    >>> import keras, numpy as np, tfgumbel
    >>> model = keras.Sequential([
    ...     keras.Input([4]), keras.layers.Dense(8),
    ...     tfgumbel.GumbelRaoLayer(seed=0, name="code"), keras.layers.Dense(4)])
    >>> model.compile("adam", "mse")
    >>> x = np.eye(4, dtype="float32")
    >>> statistics = tfgumbel.diagnostics.measure_latents(model, (x, x), batch_size=4)
    >>> bool(0.0 < statistics["code"].entropy < np.log(8)), statistics["code"].temperature
    (True, 0.5)
    """
    meter = LatentMeter(
        model,
        read_batches(data, validation.positive_integer("num_batches", num_batches), batch_size),
        loss=loss,
        priors=priors,
        shared_codes=shared_codes,
        num_draws=num_draws,
        seed=seed,
    )
    return meter.measure(0)


class LatentMeter:
    """Measures a model again and again on the same batches; arguments as in `measure_latents`.

    Attributes:
        hidden: Names of the model's discrete layers that the last measurement did not see.
    """

    def __init__(
        self,
        model: Any,
        batches: Sequence[Any],
        *,
        loss: Loss | None,
        priors: Mapping[str, Any] | None,
        shared_codes: Collection[str],
        num_draws: int,
        seed: int,
    ):
        if validation.positive_integer("num_draws", num_draws) < 2:
            raise ValueError(
                validation.describe(
                    "`num_draws` is too small.",
                    expected="an int >= 2: noise is seen in differences",
                    received=num_draws,
                    fix="take 4",
                )
            )
        self._model = model
        self._probe = Probe(model, loss)
        self._seen: set[int] = set()
        self._batches = batches
        self._priors = dict(priors or {})
        self._shared = frozenset(shared_codes)
        self._num_draws = num_draws
        self._seed = seed

    @property
    def hidden(self) -> set[str]:
        owners = [getattr(item, "discrete_owner", None) for item in self._model.variables]
        layers = [layer for owner in owners if owner is not None and (layer := owner()) is not None]
        return {layer.name for layer in layers if id(layer) not in self._seen}

    def measure(self, step: int) -> dict[str, LatentStatistics]:
        """Measures the model as it is; `step` changes the noise."""
        sums: list[CallSums] = []
        finite = True
        seeds = random.split(random.fold_in(self._seed, step), len(self._batches) + 1)
        for batch, seed in zip(self._batches, seeds, strict=False):
            draws = random.split(seed, self._num_draws)
            runs = [self._probe.gradients(batch, draw) for draw in draws]
            if not sums:
                sums = [self._sums(call.layer) for call in runs[0].calls]
            finite &= all(np.isfinite(float(run.loss)) for run in runs if self._probe.tells_loss)
            self._add(sums, batch, draws, runs)
        if not sums:
            self._nothing_seen()
        self._seen = {id(total.layer) for total in sums}
        evaluation = self._probe.evaluation(self._batches[0], seeds[-1])
        for call in evaluation.calls if evaluation else []:
            soft = tf.logical_and(call.sample != 0, call.sample != 1)
            for total in sums:
                if total.layer is call.layer:
                    total.soft = float(tf.reduce_mean(tf.cast(soft, tf.float64)))
        return by_layer(sums, finite)

    def _sums(self, layer: DiscreteLayer) -> CallSums:
        return CallSums(layer, self._priors.get(layer.name), layer.name in self._shared)

    def _add(
        self, sums: list[CallSums], batch: Any, draws: Sequence[tf.Tensor], runs: Sequence[Run]
    ) -> None:
        means = [
            total.add([run.calls[index] for run in runs], self._probe.scaled)
            for index, total in enumerate(sums)
        ]
        still = [tf.zeros_like(mean) for mean in means]
        as_drawn = [False] * len(sums)
        for index, total in enumerate(sums):
            relaxed = not total.layer._entry.hard
            if relaxed and self._probe.tells_loss:
                rounded = [other == index for other in range(len(sums))]
                for draw, run in zip(draws, runs, strict=True):
                    discrete = self._probe.loss(batch, draw, still, rounded)
                    total.gap.append(discrete - float(run.loss))
            if self._probe.explains_loss and self._probe.tells_loss:
                self._try_step(total, index, means[index], batch, draws, still, as_drawn, runs)

    def _try_step(
        self,
        total: CallSums,
        index: int,
        mean: tf.Tensor,
        batch: Any,
        draws: Sequence[tf.Tensor],
        still: list[tf.Tensor],
        as_drawn: list[bool],
        runs: Sequence[Run],
    ) -> None:
        """Moves the logits along the mean gradient, forth and back with the same noise.

        Not with the noise that the gradient is of: along that the loss moves more than it should.
        """
        size = float(tf.sqrt(tf.reduce_mean(mean**2)))
        if not np.isfinite(size) or size == 0.0:
            return
        scale = _STEP / size
        noise = sum(
            float(tf.reduce_sum((tf.cast(run.calls[index].gradient, tf.float64) - mean) ** 2))
            for run in runs
        ) / (len(runs) - 1)
        signal = float(tf.reduce_sum(mean**2)) - noise / len(runs)
        for draw in draws:
            losses = []
            for sign in (1.0, -1.0):
                shifts = list(still)
                shifts[index] = sign * scale * mean
                fresh = random.fold_in(draw, 1)
                losses.append(self._probe.loss(batch, fresh, shifts, as_drawn))
            total.falls.append(losses[0] - losses[1])
            total.predicted.append(2.0 * scale * signal)

    def _nothing_seen(self) -> None:
        hidden = ", ".join(sorted(self.hidden))
        raise ValueError(
            validation.describe(
                "No discrete layer was seen in the model's training step.",
                expected="a layer of tfgumbel.layers, called in the step itself",
                received=f"only layers not called there, or in a loop or a tf.function: {hidden}"
                if hidden
                else "none",
                fix="call the layer outside the loop, or pass `loss`, a function that does"
                if hidden
                else "monitor a model that has one",
            )
        )
