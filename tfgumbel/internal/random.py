"""The only place that draws noise: stateless, float32 or better, on open intervals.

All draws name the Philox generator, which eager, graph and XLA run on every device; what "auto"
picks for XLA on a CPU is many times slower. What is always compiled may ask for Threefry, which
only XLA has, and which takes half of Philox's time on a CPU. The stream of a seed depends on the
mode in any case: compare distributions between eager or graph mode and XLA, never samples.
"""

import math
import numbers
from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.internal import validation

ALGORITHM = "philox"
COMPILED_ALGORITHM = "threefry"


def normalize_seed(seed: Any) -> tf.Tensor:
    """Converts an int, a pair of ints or an integer tensor of shape [2] to an int32 [2] tensor.

    Args:
        seed: An int is split into its two 32-bit halves (so every 64-bit int is its own seed); a
            pair is used as it is; a uint32 tensor, as `keras.random.SeedGenerator.next()` returns,
            keeps its bits.

    Raises:
        TypeError: if `seed` is None or not made of integers.
        ValueError: if its shape is not [2].

    >>> normalize_seed(7).numpy().tolist(), normalize_seed((1, 2)).numpy().tolist()
    ([7, 0], [1, 2])
    """

    def describe(received: Any) -> str:
        return validation.describe(
            "`seed` is invalid.",
            expected="an int, a pair of ints, or an integer tensor of shape [2]",
            received=received,
            fix="pass an int, or keras.random.SeedGenerator(...).next(); noise is stateless, so "
            "the same seed repeats the same draw",
        )

    if seed is None or isinstance(seed, bool | str | float):
        raise TypeError(describe(seed))
    if isinstance(seed, numbers.Integral):
        seed = (int(seed), int(seed) >> 32)
    if isinstance(seed, tuple | list):
        if all(isinstance(word, numbers.Integral) for word in seed):
            seed = tf.constant([_signed_word(int(word)) for word in seed], tf.int32)
    seed = tf.convert_to_tensor(seed)
    if not seed.dtype.is_integer:
        raise TypeError(describe(seed.dtype.name))
    if not seed.shape.is_compatible_with([2]):
        raise ValueError(describe(f"shape {tuple(seed.shape)}"))
    if seed.dtype == tf.uint32:
        return tf.bitcast(seed, tf.int32)
    return seed if seed.dtype in (tf.int32, tf.int64) else tf.cast(seed, tf.int64)


def split(seed: Any, num: int = 2) -> list[tf.Tensor]:
    """Derives `num` independent seeds; draw from them, and no more from `seed` itself."""
    words = tf.random.stateless_uniform(
        [num, 2], normalize_seed(seed), minval=None, maxval=None, dtype=tf.int32, alg=ALGORITHM
    )
    return tf.unstack(words)


def fold_in(seed: Any, data: Any) -> tf.Tensor:
    """Derives a seed from `seed` and an integer, such as a training step or a replica's number.

    Every draw of this package is stateless: the same seed repeats it. A loop of one's own needs a
    new seed at every step, and a traced one: a Python int is a constant of a `tf.function`, which
    would be traced again for each.

    Args:
        seed: Int, pair of ints, or integer tensor of shape [2].
        data: Int or integer scalar tensor; its 32 low bits count.

    Returns:
        seed: Int32 tensor of shape [2], for any `seed` argument of this package.

    >>> import tensorflow as tf
    >>> import tfgumbel
    >>> @tf.function
    ... def sample(step):
    ...     return tfgumbel.gumbel_max(tf.zeros([2, 8]), seed=tfgumbel.fold_in(0, step))
    >>> for step in tf.range(3):  # traced once
    ...     one_hot = sample(step)
    >>> sample.experimental_get_tracing_count()
    1
    """
    data = tf.cast(data, tf.int32)
    word = tf.random.stateless_uniform(
        [], normalize_seed(seed), minval=None, maxval=None, dtype=tf.int32, alg=ALGORITHM
    )
    return tf.stack([word, data])


def uniform(
    shape: Any, seed: Any, dtype: tf.DType = tf.float32, algorithm: str = ALGORITHM
) -> tf.Tensor:
    """Uniform noise on the open interval (0, 1), symmetric about 1/2.

    The generator returns multiples of eps = 2^-23 (2^-52) in [0, 1); half a step is added, which is
    exact, so neither 0 nor 1 occurs, 1 - u is again such a number, and no clamp is needed.

    Args:
        shape: Shape of the result, an int tensor or a sequence.
        seed: As in `normalize_seed`.
        dtype: Narrower types than float32 are drawn in float32: a float16 uniform would be 0 once
            in a thousand draws.
        algorithm: `ALGORITHM`, or `COMPILED_ALGORITHM` in what XLA compiles.
    """
    dtype = validation.compute_dtype(tf.as_dtype(dtype))
    half_step = 2.0**-53 if dtype == tf.float64 else 2.0**-24
    draws = tf.random.stateless_uniform(shape, normalize_seed(seed), dtype=dtype, alg=algorithm)
    return draws + tf.constant(half_step, dtype)


def lattice(shift: tf.Tensor, start: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Points start, ..., start + count - 1 of a Kronecker lattice, moved by a random shift.

    Point k has coordinates shift_j + k sqrt(prime_j) modulo 1 (Richtmyer's sequence), rounded to
    `uniform`'s grid, so that each point alone is exactly uniform on the open unit cube, and the
    first K points together fill it evenly.

    Args:
        shift: Draws of `uniform`, shape (num_coordinates, 1, ...), num_coordinates static.
        start: First index, int32 scalar.
        count: Number of points, int32 scalar.

    Returns:
        points: Shape (num_coordinates, count, ...).
    """
    steps = tf.constant(np.sqrt(_primes(shift.shape[0])) % 1.0, tf.float64)
    index = tf.cast(start + tf.range(count), tf.float64)
    resolution = 2.0**52 if shift.dtype == tf.float64 else 2.0**23
    turns = tf.floor(tf.math.floormod(steps[:, tf.newaxis] * index, 1.0) * resolution) / resolution
    turns = tf.reshape(
        tf.cast(turns, shift.dtype),
        tf.concat([tf.shape(turns), tf.ones([tf.rank(shift) - 2], tf.int32)], 0),
    )
    left = 1.0 - turns  # on the grid, as all differences below: no rounding
    return tf.where(shift < left, shift + turns, shift - left)


def exponential(shape: Any, seed: Any, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Exponential noise of rate 1; strictly positive."""
    return -tf.math.log(uniform(shape, seed, dtype))


def gumbel(shape: Any, seed: Any, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Standard Gumbel noise; finite."""
    return -tf.math.log(exponential(shape, seed, dtype))


def logistic(shape: Any, seed: Any, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Standard logistic noise, the difference of two Gumbels; finite."""
    draws = uniform(shape, seed, dtype)
    return tf.math.log(draws) - tf.math.log1p(-draws)


def _signed_word(word: int) -> int:
    word &= 0xFFFFFFFF
    return word - (1 << 32) if word >= 1 << 31 else word


def _primes(count: int) -> np.ndarray:
    """The first `count` primes."""
    bound = max(16, int(count * (math.log(count + 1) + math.log(math.log(count + 3) + 1) + 1)))
    is_prime = np.ones(bound, bool)
    is_prime[:2] = False
    for divisor in range(2, math.isqrt(bound) + 1):
        is_prime[divisor * divisor :: divisor] = False
    return np.flatnonzero(is_prime)[:count]
