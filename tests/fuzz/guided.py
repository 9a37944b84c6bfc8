"""One coverage-guided run of one target, with atheris: a process of its own, which never returns.

``python -m tests.fuzz.guided TARGET [libFuzzer's options and corpus folders]``. A broken promise
ends it with status 77, and the input lies where ``-artifact_prefix`` says.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["layerfs"]):
    from .targets import TARGETS


def main() -> None:
    target = TARGETS[sys.argv[1]]
    options = {}
    mutate = target.mutate
    if mutate is not None:
        options["custom_mutator"] = lambda data, size, seed: mutate(
            data, size, seed, atheris.Mutate
        )
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.check, **options)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
