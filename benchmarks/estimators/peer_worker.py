"""Runs other people's Gumbel-Rao, unmodified, in an interpreter that has PyTorch.

Started by `peers.Worker`; needs nothing of this project. Reads one JSON request a line,

    {"peer": "nshepperd", "num_samples": 100, "shape": [20, 60, 16], "temperature": 0.5,
     "clock": "perf_counter"}

and answers each with the seconds of one forward and backward pass.

Usage: python peer_worker.py PEERS_DIR THREADS
"""

import functools
import importlib.util
import json
import pathlib
import sys
import time

import torch


def load(path):
    """Imports a file by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def estimators(peers_dir):
    """The peers' functions of (logits, num_samples, temperature), by name."""
    found = {}
    path = peers_dir / "gumbel-rao-pytorch" / "gumbel_rao.py"
    if path.exists():
        nshepperd = load(path)
        found["nshepperd"] = lambda logits, k, tau: nshepperd.gumbel_rao(logits, k, temp=tau)
    path = peers_dir / "GST" / "model" / "basic.py"
    if path.exists():
        chijames = load(path)
        found["chijames"] = lambda logits, k, tau: chijames.rao_gumbel(logits, tau, repeats=k)
    return found


@functools.cache
def arguments(shape):
    """Logits that want a gradient, and the gradient of the loss in the sample."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator).requires_grad_()
    return logits, torch.randn(shape, generator=generator)


def main():
    torch.set_num_threads(int(sys.argv[2]))
    peers = estimators(pathlib.Path(sys.argv[1]))
    print(json.dumps({"torch": torch.__version__, "peers": sorted(peers)}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        logits, upstream = arguments(tuple(request["shape"]))
        clock = getattr(time, request["clock"])
        begin = clock()
        sample = peers[request["peer"]](logits, request["num_samples"], request["temperature"])
        torch.autograd.grad(sample, logits, upstream)
        print(json.dumps({"seconds": clock() - begin}), flush=True)


if __name__ == "__main__":
    main()
