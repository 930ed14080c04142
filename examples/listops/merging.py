"""All merges of a batch under one-hot draws, each candidate computed once.

A draw that is one-hot changes no node but the two that it merges, so that of the candidates only
those beside the new node are new: at most 3 L - 5 of a sentence of L tokens in all, where computing
all of them at each step takes L (L - 1) / 2. The gradient is that of the latter all the same; how
it is had from the former is told in unmerging.py.
"""

import math

import tensorflow as tf

from examples.listops import rows, unmerging
from examples.listops.cells import candidate_logits, cell, product


def root(table, merge, merge_bias, query, *, tokens, lengths, draw):
    """c and h of the sentences' roots; differentiable in the first four.

    As merging step by step with `model.replace`, and its gradient, if the draws are one-hot.

    Args:
        table: [c, h] of each token as a leaf, shape (num_tokens, 2 units).
        merge: shape (2 units, 5 units).
        merge_bias: shape (5 units,).
        query: shape (units, 1).
        tokens: int32, shape (batch, L), L known, at least 3.
        lengths: int32, shape (batch,), 1 to L.
        draw: callable (logits, step) -> one-hot, both of shape (batch, L - 1). It is called again
            for the gradient and must then give the same; it trains nothing but its logits.

    Returns:
        root: [c, h], shape (batch, 2 units).
    """

    @tf.custom_gradient
    def differentiable(*weights):
        forest = Forest(*weights, tokens, lengths, draw)
        return forest.root, lambda upstream: unmerging.gradient(forest, upstream)

    return differentiable(*map(tf.convert_to_tensor, (table, merge, merge_bias, query)))


class Forest:
    """The trees of a batch, with all that their gradient asks for.

    All nodes are rows of one pool, in blocks of a batch: L of leaves, L of candidates of two leaves
    (the last is empty), then at each step two of new candidates, left and right of the new node.

    Attributes:
        pool: [c, h], shape (2 batch (2 L - 2), 2 units).
        gates: of all but the leaves, shape (batch (3 L - 4), 5 units).
        children: int32, shape (2, batch (3 L - 4)), their rows.
        nodes, candidates: int32, shape (batch, L) and (batch, L - 1), rows of those at the end.
        history: what each step began with, and did: nodes, candidates, scores, places.
        steps: scalar, how many were taken.
        root: [c, h], shape (batch, 2 units).
    """

    def __init__(self, table, merge, merge_bias, query, tokens, lengths, draw):
        self.table, self.merge, self.bias, self.query = table, merge, merge_bias, query[:, 0]
        self.lengths, self.draw = lengths, draw
        self.batch, self.bound = tf.shape(tokens)[0], tokens.shape[1]
        self.units = merge.shape[0] // 2
        self.scale = 1.0 / math.sqrt(self.units)
        self.one_hot = tf.one_hot(tf.transpose(tokens), table.shape[0], dtype=table.dtype)
        self.offset = self.bound * self.batch  # rows of leaves

        gates, state = self._start()
        self.steps = tf.maximum(tf.reduce_max(lengths) - 2, 0)
        _, state = tf.while_loop(
            lambda step, _: step < self.steps,
            lambda step, state: (step + 1, self._merge(step, state)),
            (0, state),
            maximum_iterations=self.bound - 2,
        )
        self.pool = tf.reshape(state["pool"], [-1, 2 * self.units])
        empty = tf.zeros([self.batch, 5 * self.units], gates.dtype)
        new_gates = tf.reshape(state["gates"], [-1, 5 * self.units])
        self.gates = tf.concat([tf.reshape(gates, [-1, 5 * self.units]), empty, new_gates], 0)
        leaves = tf.range(self.offset)
        pairs = tf.stack([leaves, tf.minimum(leaves + self.batch, self.offset - 1)])
        new_pairs = tf.reshape(tf.transpose(state["children"], [1, 0, 2]), [2, -1])
        self.children = tf.concat([pairs, new_pairs], 1)
        self.nodes, self.candidates = state["nodes"], state["candidates"]
        self.history = [state[key] for key in ("from_nodes", "from_candidates", "scores", "places")]
        last = tf.where(lengths > 1, self.candidates[:, 0], self.nodes[:, 0])
        self.root = tf.gather(self.pool, last)

    def _start(self):
        """Gates of the pairs of leaves, and what the steps begin with."""
        batch, bound, units, dtype = self.batch, self.bound, self.units, self.table.dtype
        leaves = product(self.one_hot, self.table)
        # Both halves of the product for each token, which the pairs of leaves only add.
        halves = [self.table[:, units:] @ half for half in tf.split(self.merge, 2)]
        pairs = tf.concat([self.one_hot[:-1], self.one_hot[1:]], axis=-1)
        gates = product(pairs, tf.concat(halves, 0)) + self.bias
        first = cell(gates, leaves[:-1, :, :units], leaves[1:, :, :units])
        score = product(first[..., units:], self.query[:, tf.newaxis])[..., 0]
        steps = bound - 2
        nodes = tf.range(bound) * batch + tf.range(batch)[:, tf.newaxis]
        pool = tf.concat([leaves, first, tf.zeros_like(leaves[:1])], 0)
        pool = tf.reshape(pool, [bound, 2 * batch, 2 * units])
        return gates, {
            "pool": tf.concat([pool, tf.zeros([steps, 2 * batch, 2 * units], dtype)], 0),
            "gates": tf.zeros([steps, 2 * batch, 5 * units], dtype),
            "children": tf.zeros([steps, 2, 2 * batch], tf.int32),
            "nodes": nodes,
            "candidates": nodes[:, :-1] + self.offset,
            "score": tf.transpose(score) * self.scale,
            "from_nodes": tf.zeros([steps, batch, bound], tf.int32),
            "from_candidates": tf.zeros([steps, batch, bound - 1], tf.int32),
            "scores": tf.zeros([steps, batch, bound - 1], dtype),
            "places": tf.zeros([steps, batch], tf.int32),
        }

    def acts(self, step):
        """Which sentences merge: while there is more than one candidate. The last is no choice."""
        return self.lengths - 1 - step > 1

    def logits(self, score, step):
        """Of the candidates, and which they are."""
        return candidate_logits(score, self.lengths - 1 - step)

    def _merge(self, step, state):
        """One step of those sentences that act."""
        batch, bound, units = self.batch, self.bound, self.units
        nodes, candidates, score = state["nodes"], state["candidates"], state["score"]
        choice = self.draw(self.logits(score, step)[0], step)
        place = tf.argmax(choice, axis=-1, output_type=tf.int32)
        place = tf.where(self.acts(step), place, bound + 1)  # nothing is at or after it

        chosen = rows.at(candidates, place)
        lefts = tf.concat([rows.at(nodes, place - 1), chosen], 0)
        rights = tf.concat([chosen, rows.at(nodes, place + 2)], 0)
        flat = tf.reshape(state["pool"], [-1, 2 * units])
        left, right = tf.gather(flat, lefts), tf.gather(flat, rights)
        gates = tf.concat([left[:, units:], right[:, units:]], -1) @ self.merge + self.bias
        new = cell(gates, left[:, :units], right[:, :units])
        new_score = tf.linalg.matvec(new[:, units:], self.query) * self.scale

        slot = bound + step
        new_rows = slot * 2 * batch + tf.range(2 * batch)
        return {
            "pool": rows.put(state["pool"], slot, new),
            "gates": rows.put(state["gates"], step, gates),
            "children": rows.put(state["children"], step, tf.stack([lefts, rights])),
            "nodes": rows.replaced(nodes, place, [chosen]),
            "candidates": rows.replaced(candidates, place - 1, tf.split(new_rows, 2)),
            "score": rows.replaced(score, place - 1, tf.split(new_score, 2)),
            "from_nodes": rows.put(state["from_nodes"], step, nodes),
            "from_candidates": rows.put(state["from_candidates"], step, candidates),
            "scores": rows.put(state["scores"], step, score),
            "places": rows.put(state["places"], step, place),
        }
