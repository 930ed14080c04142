"""The gradient of `merging.root`: that of all candidates at all steps, each computed once.

The gradient for a draw asks for that of each node there is after it, in which every candidate has a
part, by its score. That part is linear: with h_q of candidate q, and r_q(t) the gradient for its
score h_q . query summed over the steps from t on, the children of a q not chosen get

    r_q(t) (d h_q / d children)^T query

where the product is the same at each step: one for each candidate, all in one matrix product. A
candidate that was chosen adds its own gradient as a node, once, when its step is undone.
"""

import tensorflow as tf

from examples.listops import rows
from examples.listops.cells import cell


def gradient(forest, upstream):
    """For table, merge, merge_bias and query.

    Args:
        forest: `merging.Forest`.
        upstream: gradient for its roots, shape (batch, 2 units).
    """
    units, batch, offset = forest.units, forest.batch, forest.offset
    left, right = tf.unstack(forest.children)
    left, right = tf.gather(forest.pool, left), tf.gather(forest.pool, right)
    back = _Back(forest, left[:, :units], right[:, :units])
    of_nodes, of_scores, of_chosen = back.run(upstream)
    of_query = tf.linalg.matvec(forest.pool[offset:, units:], of_scores, transpose_a=True)
    # A candidate's gates have a part of its score, and one of its being chosen.
    of_gates = back.of_score * tf.expand_dims(of_scores, 1)
    of_gates = tf.tensor_scatter_nd_add(of_gates, *of_chosen)
    # Of the pairs of leaves the tokens are summed first.
    table, h = forest.table, forest.table[:, units:]
    of_tokens = [
        _transposed(tf.reshape(one_hot, [-1, table.shape[0]]), of_gates[: offset - batch])
        for one_hot in (forest.one_hot[:-1], forest.one_hot[1:])
    ]
    children = tf.concat([left[offset:, units:], right[offset:, units:]], -1)
    of_merge = tf.concat([_transposed(h, one) for one in of_tokens], 0)
    of_merge += _transposed(children, of_gates[offset:])
    of_leaves = tf.reshape(tf.transpose(of_nodes, [1, 0, 2]), [-1, 2 * units])
    of_table = _transposed(tf.reshape(forest.one_hot, [-1, table.shape[0]]), of_leaves)
    of_query = tf.expand_dims(of_query * forest.scale, 1)
    return of_table, of_merge, tf.reduce_sum(of_gates, 0), of_query


class _Back:
    """Undoes the steps of a forest, last to first.

    Args:
        forest: `merging.Forest`.
        c_left, c_right: of the candidates' children, in the order of `forest.children`.

    Attributes:
        of_score: gradient of each candidate's score for its gates.
        to_left, to_right: for [c, h] of its children.
    """

    def __init__(self, forest, c_left, c_right):
        self.forest, self.cells = forest, (forest.gates, c_left, c_right)
        query = forest.query * forest.scale
        query = tf.concat([tf.zeros_like(query), query], 0)
        self.of_score, self.to_left, self.to_right = self._children(self.cells, query)
        count, batch = forest.bound, forest.batch
        # A sum over what is not before, as a product: XLA's own on a CPU takes ten times as long.
        self.after = tf.linalg.band_part(tf.ones([count - 1, count - 1], query.dtype), -1, 0)
        self.numbers = tf.reshape(tf.range(count * batch), [batch, count])

    def run(self, upstream):
        """Gradient for the leaves, for every score, and the chosen's (indices, gates)."""
        forest = self.forest
        batch, count, units, dtype = forest.batch, forest.bound, forest.units, upstream.dtype
        # The last merge, which is no choice; a single leaf is the root itself.
        merged = tf.expand_dims(forest.lengths > 1, 1)
        nothing = tf.zeros_like(upstream)
        last, of_last, left, right = self._chosen(
            forest.candidates[:, 0], tf.where(merged, upstream, nothing)
        )
        first = left + tf.where(merged, nothing, upstream)
        others = tf.zeros([batch, count - 2, 2 * units], dtype)
        steps = count - 2
        _, of_nodes, of_scores, of_new, at, of_gates = tf.while_loop(
            lambda step, *_: step >= 0,
            self._undo,
            (
                forest.steps - 1,
                tf.concat([tf.stack([first, right], 1), others], 1),
                tf.zeros([batch, count - 1], dtype),
                tf.zeros([steps, 2 * batch], dtype),
                tf.zeros([steps, batch], tf.int32),
                tf.zeros([steps, batch, 5 * units], dtype),
            ),
            maximum_iterations=steps,
        )
        of_scores = tf.reshape(tf.transpose(of_scores), [-1])
        of_scores = tf.concat([of_scores, tf.zeros([batch], dtype), tf.reshape(of_new, [-1])], 0)
        at = tf.concat([tf.reshape(at, [-1]), last], 0)
        of_gates = tf.concat([tf.reshape(of_gates, [-1, 5 * units]), of_last], 0)
        return of_nodes, of_scores, (tf.expand_dims(at, 1), of_gates)

    def _undo(self, step, of_nodes, of_scores, of_new, all_at, of_gates):
        """One step back; the gradients are those for nodes and scores after it."""
        forest = self.forest
        nodes, candidates, score, place = [tf.gather(one, step) for one in forest.history]
        acts = forest.acts(step)
        of_choice = self._of_choice(of_nodes, nodes, candidates)
        of_choice = tf.where(tf.expand_dims(acts, 1), of_choice, tf.zeros_like(of_choice))
        logits, real = forest.logits(score, step)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            choice = forest.draw(logits, step)
        of_logits = tape.gradient(choice, logits, of_choice)
        real = real & tf.expand_dims(acts, 1)
        of_logits = tf.where(real, of_logits, tf.zeros_like(of_logits))

        flat = tf.reshape(of_nodes, [-1, 2 * forest.units])
        merged = tf.gather(flat, rows.at(self.numbers, place))
        merged = tf.where(tf.expand_dims(acts, 1), merged, tf.zeros_like(merged))
        at, of_chosen, left, right = self._chosen(rows.at(candidates, place), merged)
        # What is moved are the numbers of rows, for a fraction of the cost of moving them.
        restored = tf.split(forest.offset + tf.range(2 * forest.batch), 2)
        restored = rows.restored(self.numbers, place, restored)
        of_nodes = tf.gather(tf.concat([flat, left, right], 0), restored)
        # Node j is the left child of candidate j and the right one of j - 1.
        for side, to_child in (([0, 1], self.to_left), ([1, 0], self.to_right)):
            weight = tf.pad(of_logits, [[0, 0], side])[..., tf.newaxis]
            which = tf.pad(candidates - forest.offset, [[0, 0], side])
            of_nodes += weight * tf.gather(to_child, which)

        new = tf.concat([rows.picked(of_scores, place - 1), rows.picked(of_scores, place)], 0)
        gone = [tf.zeros_like(new[: forest.batch])] * 3
        of_scores = rows.restored(of_scores, place - 1, gone) + of_logits
        return (
            step - 1,
            of_nodes,
            of_scores,
            rows.put(of_new, step, new),
            rows.put(all_at, step, at),
            rows.put(of_gates, step, of_chosen),
        )

    def _of_choice(self, of_nodes, nodes, candidates):
        """Gradient for D of state' = D parents + (1 - S) state[:-1] + (S - D) state[1:].

        S is the running sum of D, as in `model.replace`.
        """
        state = tf.gather(self.forest.pool, nodes)
        parents = tf.gather(self.forest.pool, candidates)
        of_nodes = of_nodes[:, :-1]
        stay = tf.reduce_sum(of_nodes * state[:, :-1], -1)
        move = tf.reduce_sum(of_nodes * state[:, 1:], -1)
        return tf.reduce_sum(of_nodes * parents, -1) - move + (move - stay) @ self.after

    def _chosen(self, row, upstream):
        """Numbers of candidates by their rows; gradient for their gates and children."""
        at = row - self.forest.offset
        return at, *self._children([tf.gather(one, at) for one in self.cells], upstream)

    def _children(self, cells, upstream):
        """Gradient for the gates, and for [c, h] of the left and of the right child."""
        with tf.GradientTape() as tape:
            tape.watch(cells)
            parents = cell(*cells)
        upstream = tf.broadcast_to(upstream, tf.shape(parents))
        of_gates, c_left, c_right = tape.gradient(parents, list(cells), upstream)
        of_pair = tf.matmul(of_gates, self.forest.merge, transpose_b=True)
        h_left, h_right = tf.split(of_pair, 2, axis=-1)
        return of_gates, tf.concat([c_left, h_left], -1), tf.concat([c_right, h_right], -1)


def _transposed(left, right):
    return tf.matmul(left, right, transpose_a=True)
