"""Products that know one temperature, for variables that have temperatures of their own."""

from collections.abc import Callable

import tensorflow as tf

from tfgumbel.numerics.softmax import sum_like

# (tensors..., temperature) -> (gradient, the temperature's, a scalar).
Product = Callable[..., tuple[tf.Tensor, tf.Tensor]]


@tf.autograph.experimental.do_not_convert
def by_temperature(
    product: Product, tensors: list[tf.Tensor], temperature: tf.Tensor, *, event_rank: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies a product at each temperature, one after the other, to the variables that have it.

    Time grows with the number of temperatures, memory does not: one for each variable of a code
    costs little, one for each example of a large batch as much as that many small calls.

    Args:
        product: Of tensors of rank >= `event_rank` and a scalar temperature; its gradient has
            their shape.
        tensors: All of one shape, (variables..., event...).
        temperature: Scalar, or a shape that broadcasts with the variables'.
        event_rank: Axes of an event: 1 for classes, 0 for binary variables.

    Returns:
        gradient: The shape of the tensors.
        temperature_gradient: The shape of `temperature`.
    """
    if temperature.shape.rank == 0:
        return product(*tensors, temperature)
    shape = tf.shape(tensors[0])
    rank = tensors[0].shape.rank - event_rank
    missing = rank - temperature.shape.rank
    spread = tf.reshape(
        temperature, tf.concat([tf.ones([missing], tf.int32), tf.shape(temperature)], axis=0)
    )
    # Axes with temperatures of their own go first; one of unknown length counts among them.
    lengths = [1] * missing + temperature.shape.as_list()
    own = [axis for axis in range(rank) if lengths[axis] != 1]
    order = own + [axis for axis in range(rank + event_rank) if axis not in own]
    back = [order.index(axis) for axis in range(rank + event_rank)]
    full = tf.stack([shape[axis] if axis in own else 1 for axis in range(rank)])
    several = tf.reshape(tf.broadcast_to(spread, full), [-1])

    def by_group(tensor: tf.Tensor) -> tf.Tensor:
        moved = tf.transpose(tensor, order)
        return tf.reshape(moved, tf.concat([tf.shape(several), tf.shape(moved)[len(own) :]], 0))

    gradient, slopes = tf.map_fn(
        lambda group: product(*group[1:], group[0]),
        (several, *map(by_group, tensors)),
        fn_output_signature=(tensors[0].dtype, temperature.dtype),
    )
    gradient = tf.transpose(tf.reshape(gradient, tf.gather(shape, order)), back)
    slopes = sum_like(tf.reshape(slopes, full), spread)
    return gradient, tf.reshape(slopes, tf.shape(temperature))
