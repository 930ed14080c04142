"""The relaxation of sampling without replacement by successive softmaxes."""

from typing import Any

import tensorflow as tf

from tfgumbel.distributions.subsets import PLACKETT_LUCE_SUBSET
from tfgumbel.internal import random, validation
from tfgumbel.numerics import softmax, top_k
from tfgumbel.numerics.successive_softmax import relaxed_top_k
from tfgumbel.registry import SampleEstimator, register


@register(
    SampleEstimator,
    variable=PLACKETT_LUCE_SUBSET,
    hard=False,
    family="gumbel_softmax",
    bias="unbiased for the relaxed objective; biased for the discrete one, less when colder",
    use_when="the model accepts relaxed subsets in training",
    reference="Xie & Ermon, IJCAI 2019, eq. 8 to 11; Ploetz & Roth, NeurIPS 2018",
    temperature_gradient=True,
    exact_sampling=False,
)
def relaxed_subset(logits: Any, k: int, *, temperature: Any, seed: Any) -> tf.Tensor:
    """Draws relaxed k-hot samples, reparameterised: k softmaxes of the same perturbed logits.

    Forward, with alpha_1 = logits + G, G independent standard Gumbels,

        a_j = softmax(alpha_j / temperature),  alpha_{j+1} = alpha_j + log(1 - a_j)

    and the sample is a_1 + ... + a_k. The colder, the closer to the k-hot vector that
    `gumbel_top_k` draws with the same seed. Entries sum to k; where warm they may exceed 1, a
    property of the method. Gradient: the sample's own derivative, for logits and temperature, in
    memory for k vectors. Its k largest entries need not be those of logits + G: where some are
    closer than the temperature, what one softmax took from them can put another class ahead.

    Args:
        logits: Unnormalised log probabilities, floating, shape (..., num_classes). -inf masks a
            class; a row with fewer than k left raises in eager mode and gives NaN in graph mode.
        k: Number of classes, an int from 1 to num_classes.
        temperature: Positive number, tensor or variable, a scalar or broadcasting with
            the axes before the classes.
        seed: Int, pair of ints, or integer tensor of shape [2]; the same seed repeats the draw.

    Returns:
        sample: Non-negative with sum k, shape (..., num_classes), the dtype of `logits`.

    Raises:
        TypeError: if `logits` is not floating point or `seed` not made of integers.
        ValueError: if a shape, k or the temperature is wrong, or in eager mode a row has too few
            classes.

    >>> import tfgumbel
    >>> sample = tfgumbel.relaxed_subset([[0.0, 1.0, 2.0]], 2, temperature=0.5, seed=0)
    >>> bool(abs(sum(sample[0]) - 2) < 1e-5)
    True

    References:
        Xie & Ermon, "Reparameterizable subset sampling via continuous relaxations", IJCAI 2019.
    """
    logits, k = top_k.checked(logits, k)
    dtype = validation.compute_dtype(logits.dtype)
    heat = validation.temperature_tensor(temperature, dtype, shape=logits.shape[:-1])
    scores = top_k.perturb(top_k.center(logits, k), random.normalize_seed(seed))
    return tf.cast(relaxed_top_k(scores, softmax.per_class(heat), k), logits.dtype)
