"""DisARM: antithetic pairs of binary variables, and of categorical ones by stick breaking."""

import tensorflow as tf

from tfgumbel.expectations import antithetic
from tfgumbel.expectations.program import Program
from tfgumbel.registry import LossEstimator, register


@register(
    LossEstimator,
    bias="unbiased",
    cascades=False,
    use_when="costs that are not smooth, two runs to spend; no cascades",
    reference="Dong, Mnih & Tucker, NeurIPS 2020, eq. 12; Dong, Mnih & Tucker 2021, section 3",
)
def disarm(program: Program, *, seed: tf.Tensor) -> tf.Tensor:
    """DisARM: the difference between two antithetic runs, for the variables that differ.

    A binary variable is b = [u > sigmoid(-l)] in one run and c = [1 - u > sigmoid(-l)] in the
    other, u uniform. Its gradient is

        (f(b) - f(c)) / 2 * (-1)^c [b != c] sigmoid(|l|)

    A categorical variable is the first success of binary ones, stick by stick; those past the
    outcomes of both runs have gradient 0. The value is the mean of the two runs.

    Args:
        program: The program, run twice.
        seed: Int tensor of shape [2].

    Returns:
        value: Shape (batch,).

    Raises:
        ValueError: for a cascade.

    References: Dong, Mnih & Tucker, "DisARM: an antithetic gradient estimator for binary latent
    variables", NeurIPS 2020, eq. 12; "Coupled gradient estimators for discrete latent variables",
    NeurIPS 2021, section 3.
    """

    def slope(pair: antithetic.Pair) -> tf.Tensor:
        differ = tf.cast(pair.first != pair.second, pair.logits.dtype)
        return 0.5 * (1.0 - 2.0 * pair.second) * differ * tf.sigmoid(tf.abs(pair.logits))

    return antithetic.estimate("disarm", program, seed, slope)
