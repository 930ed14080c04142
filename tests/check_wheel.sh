#!/usr/bin/env bash
# Builds the wheel and imports it from an empty folder, `pruning` first and `tfgumbel` first.
# The checkout is not on the path there, so a file that the wheel lacks shows.
set -euo pipefail
python=$(realpath --no-symlinks "${1:?usage: check_wheel.sh PYTHON}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/dist" .
"$python" -m pip install --quiet --no-deps --target "$work/site" "$work"/dist/tfgumbel-*.whl
cd "$work"
for first in pruning tfgumbel; do
  PYTHONPATH="$work/site" "$python" -P - "$first" "$work/site" <<'PYTHON'
import importlib
import sys

first, site = sys.argv[1:]
importlib.import_module(first)
import pruning
import tfgumbel

for package in (tfgumbel, pruning):
    if not package.__file__.startswith(site):
        sys.exit(f"{package.__name__} came from {package.__file__}, not from the wheel in {site}")
for name in tfgumbel.__all__:
    getattr(tfgumbel, name)
print(f"wheel: import {first} first: {len(tfgumbel.__all__)} public names")
PYTHON
done
