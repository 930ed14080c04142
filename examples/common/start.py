"""How an example starts: flags only, quiet libraries, errors that a user can act on."""

import sys

from absl import app, logging

from examples.common.files import RunError


def run(main):
    """Runs `main()` after its flags are parsed; a `RunError` ends it with its message alone."""

    def start(argv):
        if len(argv) > 1:
            raise app.UsageError(f"Flags only, no arguments. Received: {argv[1:]}")
        # absl shows what TFDS and LiteRT's converter say about each of their steps otherwise.
        logging.set_verbosity(logging.WARNING)
        try:
            main()
        except RunError as error:
            sys.exit(f"\n{error}")

    app.run(start)
