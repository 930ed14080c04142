"""What `prune` refuses."""

import numpy as np
import pytest

import tfgumbel
from tests.pruning.small_network import network


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"k": 0}, ValueError, "int from 1 to 128(.|\n)*received: 0"),
        ({"k": -3}, ValueError, "int from 1 to 128(.|\n)*received: -3"),
        ({"k": 129}, ValueError, "int from 1 to 128(.|\n)*received: 129"),
        ({"k": 1.5}, ValueError, "fraction"),
        ({"k": 0.0}, ValueError, "fraction"),
        ({"k": True}, TypeError, "an int(.|\n)*received: True"),
        ({"k": "10%"}, TypeError, "an int(.|\n)*received: '10%'"),
        ({}, ValueError, "missing"),
        ({"k": 0.5, "scope": "model"}, ValueError, "scope"),
        ({"k": 0.5, "scope": {"a/kernel": 0.5}}, ValueError, "leave `k` out"),
        ({"scope": {"a/kernel": 0.5, "c": 0.5}}, ValueError, r"add \['b/kernel'\], remove \['c'\]"),
        ({"k": 0.5, "structure": "rows"}, ValueError, "received: 'rows'"),
        ({"k": 0.5, "structure": "4:2"}, ValueError, "n < m"),
        ({"k": 0.3, "structure": "2:4"}, ValueError, "leave `k` out"),
        ({"k": 0.5, "block": (0, 4)}, ValueError, "two integers"),
        ({"k": 0.5, "structure": "block"}, ValueError, "two integers"),
        ({"k": 65, "structure": "2:4"}, ValueError, "keeps 72 of 128"),
        ({"k": 0.5, "block": (1, 4), "structure": "filter"}, ValueError, "not both"),
        ({"k": 0.5, "method": "lottery"}, ValueError, "method"),
        ({"k": 0.5, "score_gradient": "exact"}, ValueError, "score_gradient"),
        ({"k": 0.5, "num_samples": 0}, ValueError, "num_samples"),
        ({"k": 0.5, "total_steps": 0}, ValueError, "total_steps"),
        ({"k": 0.5, "schedule": "cubic"}, TypeError, "PruningSchedule(.|\n)*received: 'cubic'"),
        ({"k": 0.5, "seed": "a"}, ValueError, "`seed`(.|\n)*received: 'a'"),
        ({"k": 0.5, "seed": 1.5}, ValueError, "`seed`(.|\n)*received: 1.5"),
        ({"k": 0.5, "targets": "a/("}, ValueError, "no regular expression(.|\n)*received: 'a/\\('"),
        ({"k": 0.5, "exclude": "["}, ValueError, "`exclude` holds no regular expression"),
        ({"k": 0.5, "exclude": "c"}, ValueError, "not there(.|\n)*received: 'c'(.|\n)*b/kernel"),
        ({"k": 0.5, "exclude": ["a", "c"]}, ValueError, "not there(.|\n)*received: 'c'"),
        ({"scope": {"a/(": 0.5, "b/kernel": 3}}, ValueError, "`scope` holds no regular"),
        ({"scope": {"kernel": 0.5, "^b": 3}}, ValueError, "more than one(.|\n)*'b/kernel'"),
    ],
)
def test_errors(arguments, error, match):
    with pytest.raises(error, match=match):
        tfgumbel.prune(network(), **arguments)


def test_a_frozen_model_and_one_that_diverged_are_errors():
    model = network()
    model.trainable = False
    with pytest.raises(ValueError, match=r"a/kernel \(10, 8\) \(not trainable; name it in"):
        tfgumbel.prune(model, 0.5)
    model = network()
    kernel = np.ones((8, 6), "float32")
    kernel[1, 2] = kernel[3, 4] = np.nan
    model.layers[1].kernel.assign(kernel)
    with pytest.raises(ValueError, match=r"NaN or infinite(.|\n)*b/kernel': '2 of 48'"):
        tfgumbel.prune(model, 0.5)


def test_summary_counts_the_users_weights():
    pruned, lines = tfgumbel.prune(network(), 0.25), []
    pruned.summary(print_fn=lambda line, **kwargs: lines.append(line))
    text = "\n".join(lines)
    assert "Total params: 142" in text and "128" not in text.replace("of the 128 weights", "")
    assert "Pruned to 32 of the 128 weights in 2 kernels" in text
    assert pruned.count_params() == 142 == network().count_params()


def test_pruning_twice_is_an_error():
    pruned = tfgumbel.prune(network(), 0.5)
    with pytest.raises(ValueError, match="being pruned already"):
        tfgumbel.prune(pruned, 0.5)
    with pytest.raises(TypeError, match="keras.Model"):
        tfgumbel.prune(pruned.model.layers[0], 0.5)
    assert tfgumbel.prune(pruned.finalize(), 0.25).budget.k == 32, "a finished one can be pruned on"
