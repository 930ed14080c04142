"""ARM: augment-REINFORCE-merge."""

import tensorflow as tf

from tfgumbel.expectations import antithetic
from tfgumbel.expectations.program import Program
from tfgumbel.registry import LossEstimator, register


@register(
    LossEstimator,
    bias="unbiased",
    cascades=False,
    use_when="comparison with the literature; disarm has the same mean and less variance",
    reference="Yin & Zhou, ICLR 2019, theorem 1",
)
def arm(program: Program, *, seed: tf.Tensor) -> tf.Tensor:
    """ARM: the difference between two antithetic runs, times the uniform noise behind them.

    A binary variable is b = [u > sigmoid(-l)] in one run and c = [1 - u > sigmoid(-l)] in the
    other, u uniform. Its gradient is (f(b) - f(c)) (u - 1/2). Categorical variables are made of
    binary ones by stick breaking, as in `disarm`. The value is the mean of the two runs.

    Args:
        program: The program, run twice.
        seed: Int tensor of shape [2].

    Returns:
        value: Shape (batch,).

    Raises:
        ValueError: for a cascade.

    References: Yin & Zhou, "ARM: augment-REINFORCE-merge gradient for stochastic binary networks",
    ICLR 2019, theorem 1.
    """
    return antithetic.estimate("arm", program, seed, lambda pair: pair.noise - 0.5)
