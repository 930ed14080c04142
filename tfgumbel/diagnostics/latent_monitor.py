"""The callback that measures discrete layers at every epoch, and warns of known pitfalls."""

import dataclasses
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgumbel.diagnostics.latent_meter import LatentMeter
from tfgumbel.diagnostics.latent_probe import Loss, read_batches
from tfgumbel.diagnostics.latent_statistics import LatentStatistics
from tfgumbel.diagnostics.pitfalls import PITFALLS, PitfallWarning, Thresholds, message
from tfgumbel.internal import validation

# What of the statistics is logged, each as `<layer>_<line>`.
LINES = (
    "entropy",
    "kl",
    "perplexity",
    "dead_classes",
    "gradient_snr",
    "gradient_gain",
    "gradient_truth",
    "temperature",
    "saturation",
    "discrete_gap",
    "soft_outputs",
)


class LatentMonitor(keras.callbacks.Callback):
    """Measures every discrete layer of a model after each epoch, and warns of seven pitfalls.

    Layers of categorical and binary variables, that is; those of subsets and permutations are left
    alone.

    What is measured is in `LatentStatistics`; it goes into the logs as `<layer>_entropy`,
    `<layer>_kl` and so on, where `History`, `CSVLogger`, `TensorBoard` and `EarlyStopping` see it,
    if the monitor stands before them in `callbacks`. What has no meaning for a layer is NaN. Each
    pitfall is warned of once a layer, as a `PitfallWarning`: NaN, exploding gradient variance, not
    actually hard, posterior collapse, unused classes, gradients that do not feel the logits,
    forward and backward that do not match.

    The training goes on as if nothing had happened: weights, seeds, batch statistics and metrics
    are put back after each measurement. (`data` that is a shuffled `tf.data.Dataset` and also
    trained on is the exception: reading it moves its shuffling on. Give the monitor one of its
    own.)

    Args:
        data: A few of the training data, as in `measure_latents`; read once, as training starts.
        every: Epochs between two measurements; in between, the logs repeat the last one.
        writer: A `tf.summary.SummaryWriter` for scalars `<layer>/<line>`, or None. The
            `TensorBoard` callback writes the logs without one.
        thresholds: Where a pitfall begins.
        loss, priors, shared_codes, num_batches, batch_size, num_draws, seed: As in
            `measure_latents`. A measurement takes `num_batches * num_draws` steps of training, and
            twice as many forward passes for each discrete layer.

    Attributes:
        statistics: Layer's name to the `LatentStatistics` of the last measurement.
        warned: Pairs (layer's name, pitfall's name) that were warned of.

    Raises:
        TypeError, ValueError: as `measure_latents`, when training starts.

    >>> import keras, numpy as np, tfgumbel
    >>> model = keras.Sequential([
    ...     keras.Input([4]), keras.layers.Dense(8),
    ...     tfgumbel.GumbelRaoLayer(seed=0, name="code"), keras.layers.Dense(4)])
    >>> model.compile("adam", "mse")
    >>> x = np.eye(4, dtype="float32")
    >>> monitor = tfgumbel.diagnostics.LatentMonitor((x, x), batch_size=4)
    >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[monitor])
    >>> history.history["code_temperature"], monitor.warned
    ([0.5, 0.5], [])
    """

    def __init__(
        self,
        data: Any,
        *,
        loss: Loss | None = None,
        priors: Mapping[str, Any] | None = None,
        shared_codes: Collection[str] = (),
        num_batches: int = 2,
        batch_size: int = 32,
        num_draws: int = 4,
        every: int = 1,
        writer: tf.summary.SummaryWriter | None = None,
        thresholds: Thresholds | None = None,
        seed: int = 0,
    ):
        super().__init__()
        self._data = data
        self._num_batches = validation.positive_integer("num_batches", num_batches)
        self._batch_size = validation.positive_integer("batch_size", batch_size)
        self._options: dict[str, Any] = {
            "loss": loss,
            "priors": priors,
            "shared_codes": shared_codes,
            "num_draws": num_draws,
            "seed": seed,
        }
        self.every = validation.positive_integer("every", every)
        self.writer = writer
        self.thresholds = Thresholds() if thresholds is None else thresholds
        self.statistics: dict[str, LatentStatistics] = {}
        self.warned: list[tuple[str, str]] = []
        self._shown: dict[tuple[str, str], int] = {}
        self._meter: LatentMeter | None = None
        self._traced_for: Any = None
        self._batches: list[Any] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._batches is None:
            self._batches = read_batches(self._data, self._num_batches, self._batch_size)
        # Whatever compiles the model again, or another one, makes a new training function.
        traced_for = self.model, getattr(self.model, "train_function", None)
        if self._meter is not None and self._traced_for == traced_for:
            return
        self._meter = LatentMeter(self.model, self._batches, **self._options)
        self._traced_for = traced_for
        self._shown = {}
        # What is NaN after an epoch was something before it, which says why.
        self.statistics = self._meter.measure(-1)
        self._judge(at_once_only=True)
        if self._meter.hidden:
            hidden = ", ".join(sorted(self._meter.hidden))
            warnings.warn(
                f"LatentMonitor sees nothing of {hidden}: not called in the training step, or "
                "inside a loop or a tf.function of the model.",
                stacklevel=2,
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._meter is None:  # A loop of one's own may begin here.
            self.on_train_begin()
        if self._meter is not None and (epoch % self.every == 0 or not self.statistics):
            before, self.statistics = self.statistics, self._meter.measure(epoch)
            for layer, found in self.statistics.items():
                if not found.finite and layer in before:
                    largest = max(found.largest_logit, before[layer].largest_logit)
                    self.statistics[layer] = dataclasses.replace(found, largest_logit=largest)
            self._judge()
        scalars = {
            (layer, line): float(getattr(found, line))
            for layer, found in self.statistics.items()
            for line in LINES
        }
        if logs is not None:
            logs.update({f"{layer}_{line}": value for (layer, line), value in scalars.items()})
        if self.writer is not None:
            with self.writer.as_default(step=epoch):
                for (layer, line), value in scalars.items():
                    if np.isfinite(value):
                        tf.summary.scalar(f"{layer}/{line}", value)
            self.writer.flush()

    def _judge(self, at_once_only: bool = False) -> None:
        for layer, found in self.statistics.items():
            for pitfall in PITFALLS:
                if at_once_only and not pitfall.at_once:
                    continue
                key = (layer, pitfall.name)
                occurs = pitfall.occurs(found, self.thresholds)
                self._shown[key] = self._shown.get(key, 0) + 1 if occurs else 0
                needed = 1 if pitfall.at_once else self.thresholds.patience
                if self._shown[key] >= needed and key not in self.warned:
                    self.warned.append(key)
                    text = message(pitfall, layer, found, self.thresholds)
                    warnings.warn(text, PitfallWarning, stacklevel=2)
                if occurs and pitfall.name == "NaN":
                    break  # Numbers that are none show nothing else.
