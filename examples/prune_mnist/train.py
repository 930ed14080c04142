"""Trains a network dense, pruned by magnitude and with learned masks, each from the same start."""

import dataclasses
import pathlib
import time
from typing import Any

import keras

import pruning
import tfgumbel
from examples.common.console import FitProgress
from examples.common.files import read_json, reading, whole_file, write_json
from examples.common.runs import claim
from examples.prune_mnist import data as data_sets
from examples.prune_mnist import models

METHODS = ("dense", "magnitude", "learned", "random")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run depends on.

    Attributes:
        dataset: one of `data.DATASETS`.
        data_dir: where TFDS keeps its data sets; None for its default.
        model: one of `models.NAMES`, or the path of a `.keras` file to start from.
        k: what is kept, a fraction or a count.
        structure: `"unstructured"`, `"1x4"` (blocks of four inputs), `"filter"` or `"2:4"`.
        scope: `"global"` or `"layer"`.
        epochs: passes over the training set, fine-tuning with the final mask included.
        batch_size: images in a step.
        learning_rate: peak rate of Adam; None for the default of each method.
        num_samples: noise draws in a step of the learned masks.
        validation: if above 0, the last so many training images are the test set.
        seed: of the initial weights, the order of the images and the noise.
    """

    dataset: str = "digits"
    data_dir: str | None = None
    model: str = "lenet300"
    k: float | int = 0.02
    structure: str = "unstructured"
    scope: str = "global"
    epochs: int = 60
    batch_size: int = 128
    learning_rate: float | None = None
    num_samples: int = 1
    validation: int = 0
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A finished run: the plain model, its numbers, and how its scores went, if they did."""

    method: str
    model: keras.Model
    numbers: dict[str, Any]
    history: pruning.ScoreHistory | None


def train(settings: Settings, method: str, data: data_sets.Data, run_dir: str) -> Outcome:
    """Trains by one method; goes on from the last epoch of an interrupted run.

    A finished run is not repeated.

    Args:
        settings: a `Settings`.
        method: one of `METHODS`.
        data: what `data.load` returned.
        run_dir: the run's files go to a folder of the method's name in it.

    Returns:
        outcome: an `Outcome`; `numbers` holds accuracy (%), kept, size, seconds and settings.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}. Received: {method!r}.")
    folder = claim(pathlib.Path(run_dir) / method, decisive(settings))
    if (folder / "result.json").exists():
        return _finished(method, folder)
    keras.utils.set_random_seed(settings.seed)
    model = models.build(settings.model, data.train_images.shape[1:])
    trained = model if method == "dense" else prepare(model, settings, method)
    steps = -(-len(data.train_images) // settings.batch_size)
    trained.compile(
        optimizer=_optimizer(settings, method, len(data.train_images)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # A divisor: a shorter last execution of each epoch would be traced again.
        steps_per_execution=max(n for n in range(1, 21) if steps % n == 0),
    )
    backup = tfgumbel.callbacks.Backup(folder / "backup.npz")
    with reading(backup.path, "delete that file; the run then starts from its first epoch"):
        epochs_done = backup.epoch
    history = None if method == "dense" else pruning.ScoreHistory()
    start = time.perf_counter()
    trained.fit(
        data.train_images,
        data.train_labels,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        initial_epoch=epochs_done,
        callbacks=[backup, FitProgress(method, epochs_done), *([history] if history else [])],
        verbose=0,
    )
    seconds = time.perf_counter() - start
    sparse = model if method == "dense" else trained.finalize()
    _, accuracy = sparse.evaluate(data.test_images, data.test_labels, batch_size=500, verbose=0)
    report = tfgumbel.sparsity_report(sparse, sizes=False)
    numbers = {
        "method": method,
        "accuracy": 100 * float(accuracy),
        "kept": report.kept,
        "size": report.size,
        "seconds": seconds,
        "settings": dataclasses.asdict(settings),
    }
    # A run counts as finished when its numbers are there: the model before them.
    with whole_file(folder / "model.keras") as temporary:
        sparse.save(temporary)
    write_json(folder / "result.json", numbers)
    backup.remove()
    return Outcome(method, sparse, numbers, history)


def prepare(model: keras.Model, settings: Settings, method: str) -> keras.Model:
    """Wraps the model by `tfgumbel.prune` as the settings say."""
    block = (1, 4) if settings.structure == "1x4" else None
    return tfgumbel.prune(
        model,
        settings.k,
        method=method,
        scope=settings.scope,
        structure="unstructured" if block else settings.structure,
        block=block,
        num_samples=settings.num_samples,
        seed=settings.seed,
    )


def _optimizer(settings: Settings, method: str, num_images: int) -> Any:
    """Adam decayed over the run. Pruning by name alone does that with a rate of its own."""
    if method != "dense" and settings.learning_rate is None:
        return "adam"
    steps = settings.epochs * -(-num_images // settings.batch_size)
    rate = 1e-3 if settings.learning_rate is None else settings.learning_rate
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps, alpha=0.01))


def decisive(settings: Settings) -> dict[str, Any]:
    """What must agree for a run to go on: all but where the data lie."""
    return {k: v for k, v in dataclasses.asdict(settings).items() if k != "data_dir"}


def _finished(method: str, folder: pathlib.Path) -> Outcome:
    """The model and the numbers of a finished run."""
    remedy = f"delete the folder {folder}; the run then starts again"
    numbers = read_json(folder / "result.json", remedy)
    path = folder / "model.keras"
    with reading(path, remedy):
        model = keras.models.load_model(path, compile=False)
    return Outcome(method, model, numbers, None)
