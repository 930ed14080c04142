"""Gumbel Tree-LSTM (Choi et al. 2017): a sentence is merged pair by pair into one vector."""

import itertools
import math

import keras
import tensorflow as tf

from examples.listops import merging
from examples.listops.cells import candidate_logits, cell, product

# Steps from which on a loop in two parts saves more than compiling the second one costs.
LONG = 12
WAYS = ("unrolled", "loop", "once")


class TreeLSTM(keras.Model):
    """Classifies sentences by a binary tree that it chooses itself, from the bottom up.

    At each step every two neighbours (h_l, c_l), (h_r, c_r) make a candidate parent (Tai et al.
    2015, as a binary tree):

        i, f_l, f_r, u, o = [h_l, h_r] W + b
        c = c_l sigmoid(f_l + 1) + c_r sigmoid(f_r + 1) + tanh(u) sigmoid(i)
        h = sigmoid(o) tanh(c)

    One of them, a draw D ~ Categorical(h . query / sqrt(units)), takes the place of its children. A
    sentence that has become one node waits for the others; that node's h is classified.

    Args:
        num_tokens: int, size of the vocabulary.
        num_classes: int.
        units: int, size of embeddings, of h and c, and of the classifier's hidden layer.
        seed: int, for the initial weights.
    """

    def __init__(self, num_tokens, num_classes, *, units=128, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.num_tokens, self.units = num_tokens, units

        def weight(name, *shape, like=keras.initializers.Zeros, **options):
            if like is not keras.initializers.Zeros:
                options["seed"] = seed + len(self.weights)
            return self.add_weight(name=name, shape=shape, initializer=like(**options))

        normal, glorot = keras.initializers.RandomNormal, keras.initializers.GlorotUniform
        self.embedding = weight("embedding", num_tokens, units, like=normal, stddev=1.0)
        self.leaf = weight("leaf", units, 2 * units, like=glorot)
        self.leaf_bias = weight("leaf_bias", 2 * units)
        orthogonal = keras.initializers.Orthogonal
        self.merge = weight("merge", 2 * units, 5 * units, like=orthogonal)
        self.merge_bias = weight("merge_bias", 5 * units)
        self.query = weight("query", units, 1, like=normal, stddev=0.01)
        self.hidden = weight("hidden", units, units, like=glorot)
        self.hidden_bias = weight("hidden_bias", units)
        self.output_matrix = weight("output_matrix", units, num_classes, like=glorot)
        self.output_bias = weight("output_bias", num_classes)
        self.built = True

    def call(self, tokens, lengths, draw, way="unrolled"):
        """Logits of the classes.

        Args:
            tokens: int32, shape (batch, L), L known; what lies past a sentence's end is ignored.
            lengths: int32, shape (batch,), 1 to L.
            draw: callable (logits, step) -> D, both of shape (batch, candidates); what is no
                candidate has a logit of -inf. Steps count from 0.
            way: how the same is computed. "unrolled": L - 1 copies of a step, each with a candidate
                fewer; "loop": a `tf.while_loop`, of the same width throughout and quick to compile;
                "once": that of `merging.root`, quickest, if what is drawn is one-hot, and the
                gradient for the logits a function of theirs and the step alone.

        Returns:
            logits: shape (batch, num_classes).

        Raises:
            ValueError: there is no such way.
        """
        if way not in WAYS:
            raise ValueError(f"way must be one of {WAYS}. Received: {way!r}.")
        table = self.embedding @ self.leaf + self.leaf_bias
        if way == "once" and tokens.shape[1] > 2:
            weights = (table, self.merge, self.merge_bias, self.query)
            root = merging.root(*weights, tokens=tokens, lengths=lengths, draw=draw)
        else:
            root = self._merged(self._leaves(table, tokens), lengths, draw, way != "unrolled")
        hidden = tf.nn.relu(root[:, self.units :] @ self.hidden + self.hidden_bias)
        return hidden @ self.output_matrix + self.output_bias

    def _merged(self, state, lengths, draw, loop):
        """c and h of the roots, shape (batch, 2 units), from those of the leaves."""
        steps = state.shape[1] - 1
        if not loop:
            for step in range(steps):
                state = self._step(step, state, lengths, draw)
        elif steps > 0:
            # Of a long sentence's steps the later half needs half the width.
            bounds = [0, steps] if steps < LONG else [0, steps // 2, steps]
            for first, last in itertools.pairwise(bounds):
                until = tf.minimum(last, tf.reduce_max(lengths) - 1)
                _, state = tf.while_loop(
                    lambda step, state, until=until: step < until,
                    lambda step, state: (step + 1, _pad(self._step(step, state, lengths, draw))),
                    (first, state[:, : steps + 1 - first]),
                    maximum_iterations=last - first,
                )
        return state[:, 0]

    def _leaves(self, table, tokens):
        """c and h of the leaves side by side, shape (batch, L, 2 units).

        They depend on the token alone, so they are computed for the vocabulary; a product with
        one-hot rows picks from them, of which the gradient is no scattered sum.
        """
        return product(tf.one_hot(tokens, self.num_tokens, dtype=table.dtype), table)

    def _step(self, step, state, lengths, draw):
        """Merges two nodes of each sentence: (batch, nodes, 2 units) -> a node fewer."""
        parents = self._parents(state)
        left = lengths - 1 - step  # how many candidates a sentence has
        width = parents.shape[1]
        if width > 1:
            logits = product(parents[..., self.units :], self.query)[..., 0]
            choice = draw(candidate_logits(logits / math.sqrt(self.units), left)[0], step)
        else:
            choice = tf.ones_like(parents[..., 0])
        # A sentence that is one node merges nothing more, and loses an empty place at the end.
        choice = tf.where(tf.expand_dims(left, 1) > 0, choice, tf.zeros_like(choice))
        return replace(state, parents, choice)

    def _parents(self, state):
        """c and h of the parents of all neighbours, shape (batch, nodes - 1, 2 units)."""
        c, h = tf.split(state, 2, axis=-1)
        pairs = tf.concat([h[:, :-1], h[:, 1:]], axis=-1)
        gates = product(pairs, self.merge) + self.merge_bias
        return cell(gates, c[:, :-1], c[:, 1:])


def replace(state, parents, choice):
    """Puts the chosen parent in the place of its children; linear in the choice.

    Nodes before it stay, those after it move up by one: with S the running sum of D,

        state'[j] = D[j] parents[j] + (1 - S[j]) state[j] + (S[j] - D[j]) state[j + 1]

    Args:
        state: shape (batch, nodes, size).
        parents: shape (batch, nodes - 1, size).
        choice: D, shape (batch, nodes - 1), one-hot or relaxed; zeros drop the last node.

    Returns:
        state: shape (batch, nodes - 1, size).
    """
    total = tf.cumsum(choice, axis=1)
    return (
        tf.expand_dims(choice, -1) * parents
        + tf.expand_dims(1.0 - total, -1) * state[:, :-1]
        + tf.expand_dims(total - choice, -1) * state[:, 1:]
    )


def greedy(logits, step):
    """A `draw` without noise: the likeliest candidate."""
    return tf.one_hot(tf.argmax(logits, axis=-1), logits.shape[-1], dtype=logits.dtype)


def _pad(state):
    """Adds an empty place at the end."""
    return tf.concat([state, tf.zeros_like(state[:, :1])], axis=1)
