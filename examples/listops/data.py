"""Expressions as arrays: training, validation and test lines up to a length, in buckets."""

import dataclasses
import gzip
import pathlib
import random

import numpy as np

from examples.common.files import RunError, reading
from examples.listops import expressions

# As published: 100,000 distinct expressions, of which a tenth are the test.
NUM_EXPRESSIONS = 100_000
NUM_TEST = 10_000
# Sentences of a bucket are padded to its bound; a step's cost grows with the square of it.
BOUNDS = (7, 10, 16, 25, 36, 50, 75, 100)


@dataclasses.dataclass(frozen=True)
class Splits:
    """Expressions of at most a length, lists of token tuples without duplicates among all three."""

    train: list
    validation: list
    test: list


@dataclasses.dataclass(frozen=True)
class Sentences:
    """Expressions of one bucket.

    Attributes:
        tokens: int32, shape (count, bound), padded with 0.
        lengths: int32, shape (count,).
        labels: int32, shape (count,), their values.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, lines, bound):
        """Arrays of expressions that are at most `bound` long."""
        tokens = np.zeros([len(lines), bound], np.int32)
        for row, line in zip(tokens, lines, strict=True):
            row[: len(line)] = line
        lengths = np.array([len(line) for line in lines], np.int32)
        labels = np.array([expressions.evaluate(line) for line in lines], np.int32)
        return cls(tokens, lengths, labels)

    @property
    def arrays(self):
        """(tokens, lengths, labels)."""
        return self.tokens, self.lengths, self.labels


def load(max_length, *, num_train=None, num_validation=1_000, test_file=None, seed=0):
    """Draws training and validation lines, and reads or draws the test's.

    All are distinct. So many are drawn that with the test file's lines they are as many as were
    published, since that decides how many of them are short.

    Args:
        max_length: tokens of the longest; longer ones are left out of all three.
        num_train: how many to keep for training; None: all.
        num_validation: how many to hold out for validation.
        test_file: path of lines "label TAB expression", gzipped or not; None: the test is drawn.
        seed: int, of the draws.

    Returns:
        splits: `Splits`.

    Raises:
        RunError: the file cannot be read, or fewer lines are that short than are asked for.
    """
    test = [line for _, line in read(test_file)] if test_file else []
    drawn = expressions.generate(
        NUM_EXPRESSIONS - len(test), max_length=max_length, excluded=set(test), seed=seed
    )
    random.Random(seed).shuffle(drawn)  # noqa: S311
    if test_file is None:
        test = drawn[: len(drawn) * NUM_TEST // NUM_EXPRESSIONS]
        drawn = drawn[len(test) :]
    validation, train = drawn[:num_validation], drawn[num_validation:]
    wanted = 1 if num_train is None else num_train
    if len(train) < wanted:
        raise RunError(
            f"Of the lines drawn, {len(train):,} have at most {max_length} tokens and are left for "
            f"training. Received: --num_train={num_train}, --max_length={max_length}."
        )
    test = [line for line in test if len(line) <= max_length]
    return Splits(train[:num_train], validation, test)


def read(path):
    """Reads a file of ListOps.

    Returns:
        lines: list of (label, tokens).

    Raises:
        RunError: the file is missing, or a line is not one of ListOps; a label that is not the
            expression's value is such a line.
    """
    path = pathlib.Path(path)
    opened = gzip.open if path.suffix == ".gz" else open
    lines = []
    with (
        reading(path, "give a file of lines 'label TAB expression'"),
        opened(path, "rt", encoding="utf-8") as file,
    ):
        for number, line in enumerate(file, 1):
            label, _, text = line.partition("\t")
            tokens = expressions.parse(text)
            if int(label) != expressions.evaluate(tokens):
                raise ValueError(f"line {number} has label {label}: {text.strip()}")
            lines.append((int(label), tokens))
    return lines


def buckets(lines, max_length, smallest=1):
    """Expressions by length, as `Sentences`.

    Args:
        lines: token tuples.
        max_length: bound of the last bucket.
        smallest: a bucket with fewer joins the next one; a last one, the one before.

    Returns:
        buckets: list of `Sentences`, none of them empty.
    """
    groups, waiting = [], []
    bounds = [bound for bound in BOUNDS if bound < max_length] + [max_length]
    for shorter, bound in zip([0, *bounds], bounds, strict=False):
        waiting += [line for line in lines if shorter < len(line) <= bound]
        if len(waiting) >= smallest:
            groups.append((waiting, bound))
            waiting = []
    if waiting:
        before, _ = groups.pop() if groups else ([], 0)
        groups.append((before + waiting, max_length))
    return [Sentences.of(*group) for group in groups if group[0]]
