"""The command line for people: arguments, help, and what a sub-command prints.

Refusals are one line on standard error, or with ``--json`` an object on standard output.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from layerfs import __version__, output, progress, render, session
from layerfs.commands import COMMANDS
from layerfs.errors import LayerFSError
from layerfs.openstores import stores
from layerfs.shorthand import Store, absolute
from layerfs.verbs import answer

if TYPE_CHECKING:
    from layerfs.commands import Command
    from layerfs.limits import Limits

FOUND: Final = 1
USAGE: Final = 2

_DESCRIPTION: Final = """\
Store OCI image layers, mount stacks of them with overlayfs, commit what was changed, merge.

A store is a directory, named by --root or the variable LAYERFS_ROOT. Lists of layers are base
first. A digest may be cut to its first 6 digits or more."""

_FIRST_STEPS: Final = """\
first steps:
  export LAYERFS_ROOT=$HOME/layers
  layerfs init
  layerfs add base.tar.gz
  layerfs list
  layerfs stack --writable 3f8a12bc /mnt/root     (or an image's name, see `layerfs images`)
  layerfs commit /mnt/root
  layerfs unmount /mnt/root

`layerfs COMMAND --help` tells more of each.
"""

_STATUSES: Final = """\
exit status:
  0    done
  1    done, and damage was found (verify, check), or something could not be mended or
       removed (repair, gc); or the answer could not be written
  2    wrong usage
  10   refused: one line on standard error, or with --json an object on standard output
  11   not offered by this version
  130  interrupted; what was begun is undone
"""

_CALL: Final = """\
Do one request of the conformance protocol: a JSON object on standard input, one on standard
output. The verbs and their fields are in conformance/PROTOCOL.md."""
_CALL_EXAMPLE: Final = """echo '{"store": "/var/lib/layers"}' | layerfs call list"""

_SESSION: Final = """\
Do many requests in one process: JSON lines of {"id", "verb", "request"} on standard input, each
answered by a line of {"id", "status", "response" or "error"}; a line without a readable id is
answered under -1. Ends with its input; what is mounted stays mounted."""
_LIMITS: Final = """\
Show the limits of what a layer may ask for when it is read: name, value, unit, and what is
limited. A layer beyond one is refused, and nothing of it is kept. --limit NAME=VALUE sets one for
one command that reads layers; a value may end in K, M, G or T for powers of 1024."""

_SESSION_EXAMPLE: Final = """echo '{"id": 1, "verb": "info", "request": {}}' | layerfs session"""


def run(arguments: list[str]) -> int:
    """Do what the arguments say; return the exit status. SystemExit: wrong usage, or help."""
    given = _parser(arguments).parse_args(arguments)
    function: Callable[[argparse.Namespace], int] = given.function
    return function(given)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line that begins as all our errors do."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"layerfs: {message}; see `{self.prog} --help`\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:
            output.put(message)  # argparse ignores what it cannot write
        else:
            super()._print_message(message, file)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Finds the width by itself: argparse would import shutil for it, for every argument."""

    def __init__(self, prog: str, **options: Any) -> None:
        options.setdefault("width", _columns() - 2)
        super().__init__(prog, **options)


def _columns() -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):  # closed, or no terminal
        return 80


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser: with one sub-command only, where ``arguments`` name it.

    To describe all of them to argparse takes as long as it takes to mount a hundred layers.
    """
    parser = _Parser(
        prog="layerfs",
        description=_DESCRIPTION,
        epilog=f"{_FIRST_STEPS}\n{_STATUSES}",
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"layerfs {__version__}")
    _add_common(parser)
    parsers = parser.add_subparsers(
        metavar="COMMAND", title="commands", required=True, prog="layerfs"
    )
    first = _first(arguments)

    def called(name: str, command: Command) -> bool:
        return first == name or first in command.aliases

    only = [item for item in COMMANDS.items() if called(*item)]
    for name, command in only or COMMANDS.items():
        one = parsers.add_parser(
            name,
            aliases=command.aliases,
            help=command.help,
            **_texts(command.description, command.example),
        )
        command.arguments(one)
        _add_common(one)
        if command.reads:
            _add_limit(one)
        one.set_defaults(function=_for_people, command=command)
    if not only:
        _add_others(parsers)
    return parser


def _add_others(parsers: Any) -> None:
    """Add the sub-commands that no store is named for."""
    call = parsers.add_parser(
        "call", help="do one request of the protocol", **_texts(_CALL, _CALL_EXAMPLE)
    )
    call.add_argument("verb", metavar="VERB")
    call.set_defaults(function=lambda given: session.call(given.verb))
    limits = parsers.add_parser(
        "limits",
        help="show how much a layer may ask for",
        **_texts(_LIMITS, "layerfs limits\nlayerfs add --limit max_ratio=500 swap.tar.gz"),
    )
    _add_limit(limits)
    limits.add_argument("--json", action="store_true", help="print an object of names and values")
    limits.set_defaults(function=_show_limits)
    lines = parsers.add_parser(
        "session", help="do requests as JSON lines", **_texts(_SESSION, _SESSION_EXAMPLE)
    )
    lines.set_defaults(function=lambda _given: session.session())


def _first(arguments: Sequence[str]) -> str:
    """Return the first argument that is no option of ``_add_common``, nor its value."""
    rest = iter(arguments)
    for one in rest:
        if one == "--root":
            next(rest, None)
        elif one not in {"--json", "--readonly"} and not one.startswith("--root="):
            return one
    return ""


def _texts(description: str, example: str) -> dict[str, Any]:
    shown = "\n".join(f"  {line}" for line in example.splitlines())
    return {
        "description": description,
        "epilog": f"example:\n{shown}\n\n{_STATUSES}",
        "formatter_class": _Formatter,
    }


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Add what may stand before or after the sub-command."""
    missing: Any = argparse.SUPPRESS  # a default here would undo what stood before
    parser.add_argument("--root", metavar="DIR", default=missing, help="the store's directory")
    parser.add_argument(
        "--json", action="store_true", default=missing, help="print the protocol's response"
    )
    parser.add_argument(
        "--readonly", action="store_true", default=missing, help="open the store without a change"
    )


def _add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="what a layer may ask for, see `layerfs limits`; may be given several times",
    )


def _limits(given: argparse.Namespace) -> Limits | None:
    """Return what --limit says; None: nothing. ValidationError."""
    texts = getattr(given, "limit", None)
    if not texts:
        return None
    from layerfs.limits import Limits  # noqa: PLC0415 - seldom given

    return Limits.parse(texts)


def _show_limits(given: argparse.Namespace) -> int:
    from layerfs.limits import Limits  # noqa: PLC0415 - for this command alone

    try:
        rows = (_limits(given) or Limits()).described()
    except LayerFSError as error:
        if given.json:
            return session.refuse(error)
        output.tell(error.message)
        return session.status_of(error)
    if given.json:
        output.put(session.encoded({name: value for name, value, _, _ in rows}))
    else:
        output.put(render.limits(rows))
    return 0


def _for_people(given: argparse.Namespace) -> int:
    root = getattr(given, "root", None) or os.environ.get("LAYERFS_ROOT")
    if not root:
        output.tell("no store was named; give --root DIR, or set LAYERFS_ROOT")
        return USAGE
    # Where a stack goes to standard output, nothing else may: refusals are told in words.
    streams = given.command.piped is not None and getattr(given, "output", "") is None
    as_json = hasattr(given, "json") and not streams
    shown = progress.on(sys.stderr)
    try:
        readonly = hasattr(given, "readonly")
        with stores(readonly=readonly, limits=_limits(given), progress=shown) as opened:
            store = Store(opened, absolute(root))
            verb, request = given.command.request(given, store)
            request["store"] = store.root
            piped = given.command.piped if request.get("path", "") is None else None
            response = answer(opened, verb, request) if piped is None else piped(opened, request)
    except LayerFSError as error:
        if as_json:
            return session.refuse(error)
        if shown is not None:
            shown.clear()
        output.tell(error.message)
        return session.status_of(error)
    finally:
        if shown is not None:
            shown.clear()
    if response is None:
        return 0
    if as_json:
        output.put(session.encoded(response))
    else:
        output.put(render.text(verb, response, request))
    return FOUND if any(response[name] for name in given.command.findings) else 0
