"""All merges of a batch under one-hot draws: each candidate is computed once, and so its gradient.

A draw that is one-hot changes no node but the two that it merges, so that of the candidates only
those beside the new node are new: 3 L - 5 of a sentence of L tokens in all, where computing
all of them at each step takes L (L - 1) / 2. Yet the gradient is the one of all of them: a
choice's gradient asks for that of each node, in which each candidate has a part at each step.
That part is linear. With h_q of candidate q, its score h_q . query, and r_q(t) the gradient of its
score summed over the steps from t on, the children of a q that is not chosen get

    r_q(t) (d h_q / d children)^T query

where the product is the same at each step: one for each candidate, all in one matrix product.
"""

import math

import tensorflow as tf


def cell(gates, c_left, c_right):
    """Parents of pairs: their gates, shape (..., 5 units), and c of the children -> [c, h]."""
    write, keep_left, keep_right, update, read = tf.split(gates, 5, axis=-1)
    kept = c_left * tf.sigmoid(keep_left + 1.0) + c_right * tf.sigmoid(keep_right + 1.0)
    c = kept + tf.tanh(update) * tf.sigmoid(write)
    return tf.concat([c, tf.sigmoid(read) * tf.tanh(c)], axis=-1)


def root(table, merge, merge_bias, query, *, tokens, lengths, draw):
    """c and h of the sentences' roots; differentiable in the first four.

    As merging step by step with `model.replace`, and its gradient, if the draws are one-hot.

    Args:
        table: [c, h] of each token as a leaf, shape (num_tokens, 2 units).
        merge: shape (2 units, 5 units).
        merge_bias: shape (5 units,).
        query: shape (units, 1).
        tokens: int32, shape (batch, L), L known, at least 2.
        lengths: int32, shape (batch,), 1 to L.
        draw: callable (logits, step) -> one-hot, both of shape (batch, L - 1); is called again for
            the gradient and must then give the same. Trains nothing but its logits.

    Returns:
        root: [c, h], shape (batch, 2 units).
    """

    @tf.custom_gradient
    def differentiable(*weights):
        forest = _Forest(*weights, tokens, lengths, draw)
        return forest.root, forest.gradient

    return differentiable(*map(tf.convert_to_tensor, (table, merge, merge_bias, query)))


class _Forest:
    """The trees of a batch, grown and ready for the backward pass.

    All nodes are rows of one pool, in blocks of a batch: L of leaves, L of candidates of two leaves
    (the last is empty), then at each step two of new candidates, left and right of the new node.
    """

    def __init__(self, table, merge, merge_bias, query, tokens, lengths, draw):
        self.table, self.merge, self.query = table, merge, query[:, 0]
        self.tokens, self.lengths, self.draw = tokens, lengths, draw
        self.batch, self.bound = tf.shape(tokens)[0], tokens.shape[1]
        self.units = merge.shape[0] // 2
        self.scale = 1.0 / math.sqrt(self.units)
        self.one_hot = tf.one_hot(tf.transpose(tokens), table.shape[0], dtype=table.dtype)
        self._grow(merge_bias)
        row = tf.where(self.lengths > 1, self.candidates[:, 0], self.nodes[:, 0])
        self.root = tf.gather(self.pool, row)

    def _grow(self, merge_bias):
        """Merges until each sentence has two nodes, or had no more."""
        batch, bound, units, dtype = self.batch, self.bound, self.units, self.table.dtype
        leaves = _product(self.one_hot, self.table)
        # Both halves of the product for each token: the pairs of leaves only add them.
        halves = [self.table[:, units:] @ half for half in tf.split(self.merge, 2)]
        pairs = tf.concat([self.one_hot[:-1], self.one_hot[1:]], axis=-1)
        gates = _product(pairs, tf.concat(halves, 0)) + merge_bias
        first = cell(gates, leaves[:-1, :, :units], leaves[1:, :, :units])
        self.leaves, self.leaf_gates = leaves, gates
        score = tf.transpose(_product(first[..., units:], self.query[:, tf.newaxis])[..., 0])

        steps = bound - 2
        block = tf.concat([leaves, first, tf.zeros_like(leaves[:1])], 0)
        pool = tf.reshape(block, [bound, 2 * batch, 2 * units])
        pool = tf.concat([pool, tf.zeros([steps, 2 * batch, 2 * units], dtype)], 0)
        rows = tf.range(bound) * batch + tf.range(batch)[:, tf.newaxis]
        state = {
            "pool": pool,
            "gates": tf.zeros([steps, 2 * batch, 5 * units], dtype),
            "children": tf.zeros([steps, 2, 2 * batch], tf.int32),
            "nodes": rows,
            "candidates": rows[:, :-1] + bound * batch,
            "score": score * self.scale,
            # What each step began with, and where it merged.
            "all_nodes": tf.zeros([steps, batch, bound], tf.int32),
            "all_candidates": tf.zeros([steps, batch, bound - 1], tf.int32),
            "all_scores": tf.zeros([steps, batch, bound - 1], dtype),
            "places": tf.zeros([steps, batch], tf.int32),
        }
        self.steps = tf.maximum(tf.reduce_max(self.lengths) - 2, 0)
        _, state = tf.while_loop(
            lambda step, _: step < self.steps,
            lambda step, state: (step + 1, self._merge(step, state, merge_bias)),
            (0, state),
            maximum_iterations=steps,
        )
        self.pool = tf.reshape(state["pool"], [-1, 2 * units])
        self.candidates, self.nodes = state["candidates"], state["nodes"]
        self.children, self.new_gates = state["children"], state["gates"]
        self.history = [state[key] for key in ("all_nodes", "all_candidates", "all_scores", "places")]

    def _logits(self, score, step):
        """Of the candidates, and which they are; one place is left to a sentence without any."""
        left = self.lengths - 1 - step
        real = tf.range(self.bound - 1) < tf.expand_dims(tf.maximum(left, 1), 1)
        return tf.where(real, score, -math.inf), real

    def _merge(self, step, state, merge_bias):
        """One step of those sentences that have more than one candidate."""
        batch, bound, units = self.batch, self.bound, self.units
        nodes, candidates, score = state["nodes"], state["candidates"], state["score"]
        choice = self.draw(self._logits(score, step)[0], step)
        # Past the end in sentences that wait: nothing is at or after it.
        place = tf.argmax(choice, axis=-1, output_type=tf.int32)
        place = tf.where(self.lengths - 1 - step > 1, place, bound + 1)

        chosen = _at(candidates, place)
        before, after = _at(nodes, place - 1), _at(nodes, place + 2)
        lefts, rights = tf.concat([before, chosen], 0), tf.concat([chosen, after], 0)
        flat = tf.reshape(state["pool"], [-1, 2 * units])
        left, right = tf.gather(flat, lefts), tf.gather(flat, rights)
        inputs = tf.concat([left[:, units:], right[:, units:]], axis=-1)
        gates = inputs @ self.merge + merge_bias
        new = cell(gates, left[:, :units], right[:, :units])
        new_score = tf.linalg.matvec(new[:, units:], self.query) * self.scale

        slot = bound + step
        rows = slot * 2 * batch + tf.range(2 * batch)
        return {
            "pool": _put(state["pool"], slot, new),
            "gates": _put(state["gates"], step, gates),
            "children": _put(state["children"], step, tf.stack([lefts, rights])),
            "nodes": _replaced(nodes, place, [chosen]),
            "candidates": _replaced(candidates, place - 1, tf.split(rows, 2)),
            "score": _replaced(score, place - 1, tf.split(new_score, 2)),
            "all_nodes": _put(state["all_nodes"], step, nodes),
            "all_candidates": _put(state["all_candidates"], step, candidates),
            "all_scores": _put(state["all_scores"], step, score),
            "places": _put(state["places"], step, place),
        }

    def gradient(self, upstream):
        """Gradient for table, merge, merge_bias and query, from that for the roots."""
        batch, bound, units, dtype = self.batch, self.bound, self.units, self.table.dtype
        offset, steps = bound * batch, bound - 2
        # Every candidate: its gates, its children, and the gradient of its score.
        lefts = tf.gather(self.pool, tf.reshape(self.children[:, 0], [-1]))
        rights = tf.gather(self.pool, tf.reshape(self.children[:, 1], [-1]))

        def of_all(leaf, new):  # the empty block after those of leaves
            flat = tf.reshape(leaf, [-1, leaf.shape[-1]])
            return tf.concat([flat, tf.zeros([batch, leaf.shape[-1]], dtype), new], 0)

        gates = of_all(self.leaf_gates, tf.reshape(self.new_gates, [-1, 5 * units]))
        c_left = of_all(self.leaves[:-1, :, :units], lefts[:, :units])
        c_right = of_all(self.leaves[1:, :, :units], rights[:, :units])
        query = tf.concat([tf.zeros_like(self.query), self.query * self.scale], 0)
        of_score, to_left, to_right = self._children(gates, c_left, c_right, query)
        # A sum over what is not before, as a product: XLA's own on a CPU takes ten times as long.
        after = tf.linalg.band_part(tf.ones([bound - 1, bound - 1], dtype), -1, 0)

        def chosen(rows, mine):
            """Gradient for gates and children of candidates, from that for themselves."""
            at = rows - offset
            return self._children(*[tf.gather(one, at) for one in (gates, c_left, c_right)], mine)

        # The last merge, which is no choice.
        whole = tf.where(self.lengths[:, tf.newaxis] > 1, upstream, tf.zeros_like(upstream))
        last = self.candidates[:, 0]
        of_last, left, right = chosen(last, whole)
        alone = tf.concat([(upstream - whole)[:, tf.newaxis], tf.zeros([batch, bound - 1, 2 * units], dtype)], 1)
        mine = tf.stack([left, right], 1)
        mine = tf.concat([mine, tf.zeros([batch, bound - 2, 2 * units], dtype)], 1) + alone

        rows = tf.range(batch * bound)
        rows = tf.reshape(rows, [batch, bound])

        def back(step, mine, of_scores, of_gates, of_new, of_rows):
            """One step back: `mine` and `of_scores` are those of nodes and scores after it."""
            nodes, candidates, score, place = [tf.gather(one, step) for one in self.history]
            here = tf.gather(self.pool, nodes)
            parents = tf.gather(self.pool, candidates)
            kept = mine[:, :-1]
            # state' = D parents + (1 - S) state[:-1] + (S - D) state[1:], S the running sum of D.
            stays = tf.reduce_sum(kept * here[:, :-1], -1)
            moves = tf.reduce_sum(kept * here[:, 1:], -1)
            merges = tf.reduce_sum(kept * parents, -1)
            of_choice = merges - moves + (moves - stays) @ after
            acts = tf.expand_dims(self.lengths - 1 - step > 1, 1)
            logits, real = self._logits(score, step)
            with tf.GradientTape() as tape:
                tape.watch(logits)
                choice = self.draw(logits, step)
            of_logits = tape.gradient(choice, logits, tf.where(acts, of_choice, tf.zeros_like(of_choice)))
            of_logits = tf.where(real & acts, of_logits, tf.zeros_like(of_logits))

            row, flat = _at(candidates, place), tf.reshape(mine, [-1, 2 * units])
            merged = tf.where(acts, tf.gather(flat, _at(rows, place)), tf.zeros_like(flat[:batch]))
            of_chosen, left, right = chosen(row, merged)
            # Rows are moved by their numbers, which takes a fraction of moving them.
            flat = tf.concat([flat, left, right], 0)
            added = bound * batch + tf.range(2 * batch)
            mine = tf.gather(flat, _restored(rows, place, tf.split(added, 2)))
            # Node j is the left child of candidate j and the right one of j - 1.
            for side, to_child in (([0, 1], to_left), ([1, 0], to_right)):
                weight = tf.pad(of_logits, [[0, 0], side])
                at = tf.pad(candidates - offset, [[0, 0], side])
                mine += weight[..., tf.newaxis] * tf.gather(to_child, at)
            new = tf.concat([_picked(of_scores, place - 1), _picked(of_scores, place)], 0)
            nothing = tf.zeros_like(new[:batch])
            of_scores = _restored(of_scores, place - 1, [nothing] * 3) + of_logits
            return (
                step - 1,
                mine,
                of_scores,
                _put(of_gates, step, of_chosen),
                _put(of_new, step, new),
                _put(of_rows, step, row),
            )

        _, mine, of_scores, of_gates, of_new, of_rows = tf.while_loop(
            lambda step, *_: step >= 0,
            back,
            (
                self.steps - 1,
                mine,
                tf.zeros([batch, bound - 1], dtype),
                tf.zeros([steps, batch, 5 * units], dtype),
                tf.zeros([steps, 2 * batch], dtype),
                tf.fill([steps, batch], offset),
            ),
            maximum_iterations=steps,
        )
        # A candidate's gates have a part of its scores, and one of its being chosen.
        of_scores = tf.reshape(tf.transpose(of_scores), [-1])
        of_scores = tf.concat([of_scores, tf.zeros([batch], dtype), tf.reshape(of_new, [-1])], 0)
        of_query = tf.linalg.matvec(self.pool[offset:, units:], of_scores, transpose_a=True)
        at = tf.concat([tf.reshape(of_rows, [-1]), last], 0) - offset
        of_gates = tf.concat([tf.reshape(of_gates, [-1, 5 * units]), of_last], 0)
        whole = tf.tensor_scatter_nd_add(
            of_score * of_scores[:, tf.newaxis], at[:, tf.newaxis], of_gates
        )
        of_leaf, of_new = whole[: offset - batch], whole[offset:]
        # Of the pairs of leaves the tokens are summed first.
        one_hot = [tf.reshape(one, [-1, self.table.shape[0]]) for one in (self.one_hot[:-1], self.one_hot[1:])]
        h = self.table[:, units:]
        of_merge = tf.concat(
            [tf.matmul(h, tf.matmul(one, of_leaf, transpose_a=True), transpose_a=True) for one in one_hot], 0
        ) + tf.matmul(tf.concat([lefts[:, units:], rights[:, units:]], -1), of_new, transpose_a=True)
        mine = tf.reshape(tf.transpose(mine, [1, 0, 2]), [-1, 2 * units])
        flat = tf.reshape(self.one_hot, [-1, self.table.shape[0]])
        of_table = tf.matmul(flat, mine, transpose_a=True)
        return of_table, of_merge, tf.reduce_sum(whole, 0), of_query[:, tf.newaxis] * self.scale

    def _children(self, gates, c_left, c_right, upstream):
        """Gradient for the gates, and for [c, h] of the left and of the right child."""
        with tf.GradientTape() as tape:
            tape.watch([gates, c_left, c_right])
            parents = cell(gates, c_left, c_right)
        upstream = tf.broadcast_to(upstream, tf.shape(parents))
        gates, c_left, c_right = tape.gradient(parents, [gates, c_left, c_right], upstream)
        h_left, h_right = tf.split(tf.matmul(gates, self.merge, transpose_b=True), 2, axis=-1)
        return gates, tf.concat([c_left, h_left], -1), tf.concat([c_right, h_right], -1)


def _product(rows, matrix):
    """Product over the last axis as one of two matrices: `@` would repeat one for each sentence."""
    flat = tf.reshape(rows, [-1, rows.shape[-1]]) @ matrix
    return tf.reshape(flat, tf.concat([tf.shape(rows)[:-1], tf.shape(flat)[-1:]], 0))


def _put(stack, index, value):
    """The stack with another value at an index of its first axis."""
    return tf.tensor_scatter_nd_update(stack, [[index]], value[tf.newaxis])


def _at(rows, place):
    """Element of each row, the nearest one where the place is outside."""
    return tf.gather(rows, tf.clip_by_value(place, 0, rows.shape[1] - 1), batch_dims=1)


def _places(values, place):
    """Numbers of the second axis, and the place, so that they compare beside the values."""
    others = [1] * (len(values.shape) - 2)
    index = tf.reshape(tf.range(values.shape[1]), [1, -1, *others])
    return index, tf.reshape(place, [-1, 1, *others])


def _picked(values, place):
    """Sum over the second axis of what is at the place: zero where the place is outside."""
    index, place = _places(values, place)
    return tf.reduce_sum(tf.where(index == place, values, tf.zeros_like(values)), 1)


def _replaced(values, place, new):
    """Puts new values where one more stood, from the place on; those after them move up by one."""
    index, place = _places(values, place)
    moved = tf.concat([values[:, 1:], values[:, -1:]], 1)
    values = tf.where(index < place, values, moved)
    for number, one in enumerate(new):
        values = tf.where(index == place + number, tf.expand_dims(one, 1), values)
    return values


def _restored(values, place, old):
    """The other way: puts old values where one fewer stands; those after them move down by one."""
    index, place = _places(values, place)
    moved = tf.concat([values[:, :1], values[:, :-1]], 1)
    values = tf.where(index < place, values, moved)
    for number, one in enumerate(old):
        values = tf.where(index == place + number, tf.expand_dims(one, 1), values)
    return values
