"""The list of runs beside Jang et al.'s auto-encoder, and its published table."""

import numpy as np
import pytest

from examples.discrete_vae import jang, train


@pytest.mark.parametrize("kind", jang.KINDS)
@pytest.mark.parametrize("row", jang.PAPER)
def test_every_row_can_be_trained_as_the_paper_says(row, kind):
    settings = jang.job(row, kind).settings
    train.check(settings)
    latents = {"Bernoulli": (200, 2), "categorical": (20, 10)}
    assert (settings.variables, settings.arity) == latents[kind]
    assert settings.hidden_units == () and settings.learned_prior
    assert settings.eval_samples == 1_000
    falls = row in ("gumbel_softmax", jang.ANNEALED)
    assert bool(settings.anneal_rate) == falls
    if falls:  # to the paper's floor, .5, in two thirds of the run
        two_thirds = np.exp(-settings.anneal_rate * settings.steps * 2 / 3)
        assert settings.temperature == 0.5 and two_thirds == pytest.approx(0.5, rel=0.01)


def test_rates_are_chosen_once_for_each_cell():
    jobs = jang.jobs()
    first, second = jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]
    assert len({job.name for job in first}) == len(first) == 2 * len(jang.PAPER)
    assert all(job.tried_as is None and job.settings.seed == 0 for job in first)
    assert [job.tried_as for job in second] == [job.name for job in first]
    assert all(job.settings.seed == 1 for job in second)
