"""Callbacks of training."""

from pruning.training.callbacks import BINS, ScoreHistory


def test_score_histogram_counts_every_score():
    history = ScoreHistory()
    history.record([0.0, 0.0, 0.5, 1.0], 3)
    assert history.counts[0].sum() == 4
    assert history.counts[0][0] == 2 and history.counts[0][-1] == 1
    assert len(history.counts[0]) == BINS
    assert history.steps == [3]
