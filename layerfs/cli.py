"""The ``layerfs`` command.

Exit status: 0 done; 1 done, and damage was found (verify, check, repair, gc), or the answer could
not be written; 2 wrong usage; 10 refused; 11 not offered; 130 interrupted; 128+N after signal N
(141: nobody reads the answer). A traceback is a defect.

It is started very often: what programs use (``call``, ``session``) and ``--version`` do without
argparse, and nothing is imported before it is needed.
"""

from __future__ import annotations

import gc
import sys

from layerfs import __version__

UNWRITTEN = 1
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    # What is imported is no garbage: to look for some after each 700 objects takes 2 ms and more.
    gc.set_threshold(50_000)
    arguments = sys.argv[1:] if argv is None else argv
    from layerfs import output  # noqa: PLC0415 - see the module's docstring

    try:
        if arguments == ["--version"]:
            output.put(f"layerfs {__version__}\n")
            return 0
        return _run(arguments)
    except KeyboardInterrupt:
        output.tell("interrupted")
        return INTERRUPTED
    except output.UnwrittenError as error:
        output.give_up()
        if isinstance(error.__cause__, BrokenPipeError):
            return 128 + 13  # as SIGPIPE would have it, and as quiet
        output.tell(f"cannot write the answer: {error.__cause__}")
        return UNWRITTEN
    finally:
        # The interpreter ends with a search for circular garbage in all that was imported, which
        # takes 10 of the 75 ms of a small command: what is frozen is passed over.
        gc.freeze()


def _run(arguments: list[str]) -> int:
    import signal  # noqa: PLC0415

    def end(number: int, _frame: object) -> None:
        """End as by Ctrl-C: what is under way is undone."""
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, end)
    if arguments == ["session"]:
        from layerfs.session import session  # noqa: PLC0415

        return session()
    if len(arguments) == 2 and arguments[0] == "call" and not arguments[1].startswith("-"):
        from layerfs.session import call  # noqa: PLC0415

        return call(arguments[1])
    from layerfs.commandline import run  # noqa: PLC0415

    return run(arguments)
