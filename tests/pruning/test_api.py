"""What `prune` refuses."""

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
    ],
)
def test_errors(arguments, error, match):
    with pytest.raises(error, match=match):
        tfgumbel.prune(network(), **arguments)


def test_pruning_twice_is_an_error():
    pruned = tfgumbel.prune(network(), 0.5)
    with pytest.raises(ValueError, match="being pruned already"):
        tfgumbel.prune(pruned, 0.5)
    with pytest.raises(TypeError, match="keras.Model"):
        tfgumbel.prune(pruned.model.layers[0], 0.5)
    assert tfgumbel.prune(pruned.finalize(), 0.25).budget.k == 32, "a finished one can be pruned on"
