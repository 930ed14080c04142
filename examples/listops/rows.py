"""Lists that shorten and lengthen, one a sentence: numbers and scores, shape (batch, count).

A place is one number for each sentence; where it is outside the list, nothing is there.
"""

import tensorflow as tf


def at(lists, place):
    """The element at a place, the nearest one where that is outside."""
    return tf.gather(lists, tf.clip_by_value(place, 0, lists.shape[1] - 1), batch_dims=1)


def picked(lists, place):
    """The element at a place, zero where that is outside."""
    here = tf.range(lists.shape[1]) == tf.expand_dims(place, 1)
    return tf.reduce_sum(tf.where(here, lists, tf.zeros_like(lists)), 1)


def replaced(lists, place, new):
    """Puts `new`, a list, where one more stood, from a place on; what follows moves up by one."""
    return _put_in(lists, tf.concat([lists[:, 1:], lists[:, -1:]], 1), place, new)


def restored(lists, place, old):
    """Puts `old`, a list, where one fewer stands, the reverse; what follows moves down by one."""
    return _put_in(lists, tf.concat([lists[:, :1], lists[:, :-1]], 1), place, old)


def _put_in(lists, moved, place, values):
    index, place = tf.range(lists.shape[1]), tf.expand_dims(place, 1)
    lists = tf.where(index < place, lists, moved)
    for number, one in enumerate(values):
        lists = tf.where(index == place + number, tf.expand_dims(one, 1), lists)
    return lists


def put(stack, index, value):
    """The stack with another value at an index of its first axis."""
    return tf.tensor_scatter_nd_update(stack, [[index]], value[tf.newaxis])
