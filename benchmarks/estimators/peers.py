"""Other people's PyTorch implementations, timed in a process of their own beside ours.

`peers_dir` holds their repositories under their own names, as cloned:

    git clone https://github.com/nshepperd/gumbel-rao-pytorch
    git clone https://github.com/chijames/GST
"""

import json
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

from benchmarks import common

WORKER = pathlib.Path(__file__).with_name("peer_worker.py")


class Worker:
    """An interpreter with PyTorch that times one pass at a time, on request."""

    def __init__(self, python: str, peers_dir: str, threads: int) -> None:
        self._process = subprocess.Popen(
            [python, str(WORKER), peers_dir, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        greeting = self._read()
        self.version: str = greeting["torch"]
        self.peers: list[str] = greeting["peers"]

    def timer(
        self, peer: str, num_samples: int, shape: Any, temperature: float, clock: str
    ) -> Callable[[], common.OwnSeconds]:
        """A function that runs one forward and backward pass and returns its seconds."""
        request = json.dumps(
            {
                "peer": peer,
                "num_samples": num_samples,
                "shape": list(shape),
                "temperature": temperature,
                "clock": clock,
            }
        )

        def run() -> common.OwnSeconds:
            if self._process.stdin is None:
                raise RuntimeError("The peers' process has no standard input.")
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
            return common.OwnSeconds(self._read()["seconds"])

        return run

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self.close()
            raise RuntimeError(f"The peers' process ended: status {self._process.returncode}.")
        return json.loads(line)
