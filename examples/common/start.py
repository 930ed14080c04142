"""How an example starts: flags only, quiet libraries, errors that a user can act on."""

import logging as standard_logging
import sys

from absl import app, logging

from examples.common.files import RunError


def run(main):
    """Runs `main()` after its flags are parsed; a `RunError` ends it with its message alone."""

    def start(argv):
        if len(argv) > 1:
            raise app.UsageError(f"Flags only, no arguments. Received: {argv[1:]}")
        # Otherwise TFDS and LiteRT's converter tell each of their steps, and TensorFlow warns of
        # every function that a comparison of many estimators has to trace.
        logging.set_verbosity(logging.WARNING)
        standard_logging.getLogger("tensorflow").setLevel(standard_logging.ERROR)
        try:
            main()
        except RunError as error:
            sys.exit(f"\n{error}")

    app.run(start)
