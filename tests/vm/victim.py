"""One run of machines, which says on standard output how far it is: to be killed by a test.

``victim.py BOX``: "begun", then "booted" and "connected" for its machine; then it waits for its
standard input to end, says "ending", and ends the run.
"""

import contextlib
import sys

from harness.vagrant_target import Session, Source


def say(what):
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main(box):
    with Session(box, say):
        say("begun")
        with contextlib.closing(Source(box)) as source:
            with contextlib.closing(source.connect(lambda _: say("booted"))):
                say("connected")
                sys.stdin.read()
            say("ending")


if __name__ == "__main__":
    main(sys.argv[1])
