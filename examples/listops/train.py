"""Training and evaluation of the tree-LSTM; every step a function of the seed and its number."""

import dataclasses

import numpy as np
import tensorflow as tf

import tfgumbel
from examples.common import training
from examples.common.files import RunError
from examples.common.runs import claim
from examples.common.settings import RunSettings, decisive
from examples.listops import data, expressions
from examples.listops.model import TreeLSTM, greedy
from tfgumbel import registry
from tfgumbel.distributions.abilities import ONE_HOT_CATEGORICAL

NUM_CLASSES = 10
EVALUATION_BATCH = 250


@dataclasses.dataclass(frozen=True)
class Settings(RunSettings):
    """Everything that decides a run's result; see the flags in main.py for what each does."""

    dataset: str = "listops"
    batch_size: int = 50
    steps: int | None = None
    optimizer: str = "adam"
    learning_rate: float = 3e-3
    momentum: float = 0.0
    warmup_steps: int = 100
    weight_decay: float = 1e-4
    eval_every: int | None = None
    max_length: int = 10
    estimator: str = "gumbel_rao"
    temperature: float | None = None
    num_samples: int | str = "exact"
    epochs: int = 8
    num_train: int = 5_000
    num_validation: int = 1_000
    test_file: str | None = None
    data_seed: int = 0
    units: int = 128


def estimators():
    """Names of those that can choose trees: of categorical variables, draw after draw."""
    return [
        name
        for name, entry in registry.gradient_estimators(ONE_HOT_CATEGORICAL).items()
        if getattr(entry, "cascades", True)
    ]


def estimator_options(settings):
    """The options of the settings' estimator, a dict."""
    parameters = registry.get(settings.estimator).parameters
    options = {}
    if settings.temperature is not None:
        names = [name for name in parameters if name.endswith("temperature")]
        if not names:
            raise RunError(f"{settings.estimator} has no temperature; leave out --temperature.")
        options = dict.fromkeys(names, settings.temperature)
    elif registry.get(settings.estimator).needs_temperature:
        options["temperature"] = 0.5
    if "num_samples" in parameters:
        options["num_samples"] = settings.num_samples
        options["noise"] = "independent"  # as in the paper, beside whose table the results stand
    return options


class Training(training.Training):
    """One run of a `TreeLSTM`.

    A batch is of one bucket of lengths; an epoch goes through all batches in an order of its own.

    Args:
        settings: `Settings`.
        splits: `data.Splits`, or None to draw them.
    """

    def __init__(self, settings, splits=None):
        self.splits = splits or data.load(
            settings.max_length,
            num_train=settings.num_train or None,
            num_validation=settings.num_validation,
            test_file=settings.test_file,
            seed=settings.data_seed,
        )
        buckets = data.buckets(self.splits.train, settings.max_length, settings.batch_size)
        counts = np.array([len(bucket.labels) for bucket in buckets])
        # Batches of each bucket; the sentences left over are others in each epoch.
        self._ends = np.cumsum(counts // settings.batch_size)
        self._counts = counts
        epoch = max(1, int(self._ends[-1]))
        steps = settings.steps or settings.epochs * epoch
        settings = dataclasses.replace(
            settings, steps=steps, eval_every=settings.eval_every or epoch
        )
        self.entry = registry.get(settings.estimator)
        self.options = estimator_options(settings)
        model = TreeLSTM(
            len(expressions.TOKENS), NUM_CLASSES, units=settings.units, seed=settings.seed
        )
        super().__init__(model, self.mean_loss, [bucket.arrays for bucket in buckets], settings)
        self._compiled = tf.function(super().gradient, jit_compile=True)
        self._classify = tf.function(
            lambda tokens, lengths: tf.argmax(model(tokens, lengths, draw=greedy, way="once"), -1),
            jit_compile=True,
        )

    def batch(self, step):
        """The bucket of a step, and its rows there."""
        seed = tf.cast(self.settings.seed, tf.int64)
        batches, size = int(self._ends[-1]), self.settings.batch_size
        epoch = step // batches
        index = tf.random.experimental.index_shuffle(
            step % batches, tf.stack([seed, epoch]), batches - 1
        )
        ends = tf.constant(self._ends, tf.int64)
        bucket = tf.reduce_sum(tf.cast(index >= ends, tf.int32))
        first = tf.where(bucket > 0, tf.gather(ends, tf.maximum(bucket - 1, 0)), 0)
        places = (index - first) * size + tf.range(size, dtype=tf.int64)
        key = tf.stack([seed + 1_000_003 * (1 + tf.cast(bucket, tf.int64)), epoch])
        last = tf.gather(tf.constant(self._counts, tf.int64), bucket) - 1
        return bucket, tf.random.experimental.index_shuffle(places, key, last)

    def gradient(self, batch, seed):
        """As that of `training.Training`, compiled once for each bucket."""
        bucket, rows = batch

        def of(arrays):
            return lambda: self._compiled([tf.gather(one, rows) for one in arrays], seed)

        loss, gradient = tf.switch_case(bucket, [of(arrays) for arrays in self.data])
        return loss, gradient

    def mean_loss(self, sentences, seed):
        """Mean cross-entropy in nats of (tokens, lengths, labels), trees drawn by the estimator.

        Estimators that act on the sample draw inside a loop, where candidates are computed once if
        it is one-hot; the others need each draw by itself.
        """
        if isinstance(self.entry, registry.SampleEstimator):
            tokens, lengths, labels = sentences

            def draw(logits, step):
                return self.entry.function(
                    logits, seed=tfgumbel.fold_in(seed, step), **self.options
                )

            way = "once" if self.entry.hard else "loop"
            logits = self.model(tokens, lengths, draw=draw, way=way)
            return tf.reduce_mean(cross_entropy(labels, logits))
        num_samples = self.settings.num_samples
        value = tfgumbel.expectation(
            self.program,
            tuple(sentences),
            estimator=(self.entry.name, self.options),
            num_samples=self.entry.min_samples if num_samples == "exact" else num_samples,
            seed=seed,
        )
        return tf.reduce_mean(value)

    def program(self, draw, sentences):
        """The cost of each sentence as `tfgumbel.expectation` takes it."""
        tokens, lengths, labels = sentences
        logits = self.model(tokens, lengths, draw=lambda logits, step: draw(logits))
        return cross_entropy(labels, logits)

    def accuracy(self, lines):
        """Share of expressions whose value is found with the likeliest tree, in percent."""
        right = 0
        for bucket in data.buckets(lines, self.settings.max_length):
            for first in range(0, len(bucket.labels), EVALUATION_BATCH):
                part = [one[first : first + EVALUATION_BATCH] for one in bucket.arrays]
                missing = EVALUATION_BATCH - len(part[0])  # one shape, compiled once
                tokens = np.pad(part[0], [(0, missing), (0, 0)])
                lengths = np.pad(part[1], (0, missing), constant_values=1)
                found = self._classify(tokens, lengths).numpy()[: len(part[2])]
                right += int(np.sum(found == part[2]))
        return 100.0 * right / len(lines)

    def trees(self, lines):
        """The likeliest tree of each expression, as `expressions.merges` gives the true one."""
        positions = [[] for _ in lines]
        tokens, lengths, _ = data.Sentences.of(lines, max(map(len, lines))).arrays

        def draw(logits, step):
            choice = greedy(logits, step)
            for row, place in enumerate(np.argmax(choice, axis=-1)):
                if step < len(lines[row]) - 1:
                    positions[row].append(int(place))
            return choice

        self.model(tokens, lengths, draw=draw)
        for line, tree in zip(lines, positions, strict=True):
            tree += [0] * (len(line) - 1 - len(tree))  # a last pair is not drawn
        return positions

    def agreement(self, lines):
        """Share of the true tree's constituents that are in the model's, in percent.

        The whole sentence, which is in every tree, is left out.
        """
        found, total = 0, 0
        for line, tree in zip(lines, self.trees(lines), strict=True):
            true = expressions.spans(expressions.merges(line), len(line)) - {(0, len(line))}
            found += len(true & expressions.spans(tree, len(line)))
            total += len(true)
        return 100.0 * found / max(1, total)


def cross_entropy(labels, logits):
    """In nats, one a sentence."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def run(settings, run_dir, *, splits=None):
    """Trains, validates, checkpoints, tests; goes on where a killed run in `run_dir` stopped.

    Args:
        settings: `Settings`.
        run_dir: directory for settings.json, checkpoint.npz (the latest), best.npz (best on
            validation), TensorBoard events and result.json.
        splits: `data.Splits`, or None to draw them.

    Returns:
        trained: the `Training` with the weights that were best on validation.
        result: dict, as saved in result.json.
    """
    run_dir = claim(run_dir, decisive(settings))
    trained = Training(settings, splits)
    seconds = trained.fit(
        run_dir,
        name=settings.estimator,
        validate=lambda: 100.0 - trained.accuracy(trained.splits.validation),
        metric="validation_error",
    )
    return trained, finish(trained, run_dir, seconds)


def finish(trained, run_dir, seconds, **measured):
    """Tests the weights as they are and writes result.json.

    Args:
        trained: a `Training`.
        run_dir: as of `run`.
        seconds: that its steps took.
        **measured: what else there is to say.

    Returns:
        result: dict, as saved.
    """
    return trained.finish(
        run_dir,
        seconds,
        options=trained.options,
        train_lines=len(trained.splits.train),
        test_lines=len(trained.splits.test),
        test_accuracy=trained.accuracy(trained.splits.test),
        constituents=trained.agreement(trained.splits.test[:500]),
        **measured,
    )
