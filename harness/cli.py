"""``layerfs-conformance``: runs the suite, and tells about it.

Exit status: 0 when what was asked is so (a conformant subject, all mutants killed, a machine that
can run the local target), 1 when it is not, 2 for wrong usage or a wrong subject.toml (one line
says what), 130 when interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from rich.console import Console
from rich.text import Text

from harness import (
    activation,
    boxcli,
    catalogue,
    config,
    doctor,
    matrixcli,
    mutants,
    realimage,
    resultscli,
    runner,
    schemas,
    show,
    subjectcli,
    vmdoctor,
)
from harness import target as target_kinds
from harness.activation import Settings
from harness.bench import Bench, SubjectUnfitError
from harness.catalogue import Entry
from harness.config import CONFORMANCE
from harness.errors import HarnessError
from harness.exits import INTERRUPTED, NOT_SO, PROGRAM, USAGE
from harness.plugin import DEFAULT_OUTPUT
from harness.protocol import PROTOCOL_VERSION
from harness.report import seconds
from harness.results import SUITE_VERSION, ResultsError, load
from harness.wording import counted, first_line, source_url, visible, word

app = typer.Typer(
    name=PROGRAM,
    help="Hold an implementation of an OCI layer store against the conformance suite.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
image_app = typer.Typer(help="A real image, for the cases that want one.", no_args_is_help=True)
app.add_typer(image_app, name="image")
app.add_typer(boxcli.app, name="box")
app.add_typer(subjectcli.app, name="subject")
resultscli.register(app)
app.command("matrix")(matrixcli.matrix)


class Mode(StrEnum):
    """How the subject is called."""

    session = "session"
    call = "call"


class Format(StrEnum):
    """How the outcome is printed."""

    text = "text"
    json = "json"


_Output = Annotated[Path, typer.Option(help="Where reports and evidence are written.")]
_Target = Annotated[str, typer.Option(help="Where the subject runs.")]
_Workers = Annotated[
    int | None,
    typer.Option(
        "-n", "--workers", min=0, help="0 runs in this process (default: one for each CPU)."
    ),
]
_Image = Annotated[
    Path | None,
    typer.Option(
        help="An OCI image layout, for the cases on a real image; 'built': made of this "
        "distribution's packages, and kept in your cache folder."
    ),
]
_Format = Annotated[Format, typer.Option("--format", help="For people, or for machines.")]


def _workers(target: str, asked: int | None) -> int:
    return target_kinds.workers(target, asked, max(2, os.cpu_count() or 2))


@app.command()
def run(  # noqa: PLR0917 - typer calls it by keyword
    subject: Annotated[
        str, typer.Option(help="A folder with subject.toml, or a name that 'subjects' lists.")
    ] = "layerfs",
    target: _Target = "local",
    profile: Annotated[
        list[str] | None,
        typer.Option(help="Only this profile (repeatable; default: all that it claims)."),
    ] = None,
    workers: _Workers = None,
    keyword: Annotated[
        str, typer.Option("-k", help="Only cases that match, as with pytest; ids match too.")
    ] = "",
    case: Annotated[
        list[str] | None, typer.Option(help="Only this clause or case (repeatable).")
    ] = None,
    image: _Image = None,
    output: _Output = Path(DEFAULT_OUTPUT),
    suite_mode: Annotated[
        Mode, typer.Option(help="One process for each case where it can, or for each call.")
    ] = Mode.session,
    keep_evidence: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--keep-evidence", help="Also of the cases that passed.")
    ] = False,
    keep_on_failure: Annotated[  # noqa: FBT002 - a flag of the command line
        bool,
        typer.Option(
            "--keep-on-failure",
            help="Leave the machine of the first bad case, and say how to enter.",
        ),
    ] = False,
) -> None:
    """Judge a subject; exit 0 only when it is conformant.

    Writes results.json, junit.xml, index.html and the evidence of what failed.
    """
    settings = activation.read(
        argparse.Namespace(
            subject=subject,
            target=target,
            profile=profile or [],
            case=case or [],
            image=None if image is None else str(image),
            output=str(output),
            suite_mode=suite_mode.value,
            keep_evidence=keep_evidence,
            keep_on_failure=keep_on_failure,
            keyword=keyword,
        )
    )
    count = _workers(settings.target, workers)
    request = runner.Request(
        subject=subject,
        output=settings.output,
        target=settings.target,
        profiles=settings.demanded,
        cases=sorted(settings.cases),
        keyword=keyword,
        image=settings.image,
        workers=count,
        mode=settings.mode,
        keep_evidence=keep_evidence,
        keep_on_failure=keep_on_failure,
    )
    with contextlib.closing(target_kinds.session(settings.target, activation.say)):
        _judge(settings, request)


def _judge(settings: Settings, request: runner.Request) -> None:
    out = show.console()
    try:
        # Before two hundred cases say it: is there a target, and does the subject start at all?
        bench = Bench(settings.target, settings.subject, settings.mode)
        bench.try_out()
    except SubjectUnfitError as error:
        _complain(str(error))
        raise typer.Exit(NOT_SO) from error
    for step in bench.steps():
        out.print(Text(f"the first target is {step.name}: {seconds(step.seconds)}"))
    with show.Live(out) as live:
        status, results = runner.run(request, live)
    if results is None:
        raise typer.Exit(USAGE)
    show.results(out, results)
    out.print(Text(f"report: {settings.output / 'index.html'}"), soft_wrap=True)
    if status == pytest.ExitCode.INTERRUPTED:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(0 if results.conformant else NOT_SO)


@app.command("list")
def list_clauses(form: _Format = Format.text) -> None:
    """List all clauses."""
    entries = catalogue.collect().values()
    if form is Format.json:
        _print_json([_entry(entry) for entry in entries])
        return
    out = show.console()
    rows = (
        (e.clause.id, e.clause.level, e.clause.profile, str(len(e.cases)), e.clause.requirement)
        for e in entries
    )
    show.table(out, ("clause", "level", "profile", "cases", "requirement"), rows)
    count = sum(len(entry.cases) for entry in entries)
    out.print(f"{counted(len(entries), 'clause')}, {counted(count, 'case')}")


def _entry(entry: Entry) -> dict[str, Any]:
    return {**dataclasses.asdict(entry.clause), "area": entry.area, "cases": list(entry.cases)}


@app.command()
def explain(
    clause: Annotated[str, typer.Argument(help="Such as WHT-004, or one of its cases.")],
    output: _Output = Path(DEFAULT_OUTPUT),
) -> None:
    """Tell a clause: what it requires, its source, its cases, and how they last ended."""
    entries = catalogue.collect()
    wanted = clause.partition("[")[0].upper()
    if wanted not in entries:
        close = difflib.get_close_matches(wanted, entries, n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise typer.BadParameter(f"there is no clause {clause}{hint} ('{PROGRAM} list' shows all)")
    entry = entries[wanted]
    one = entry.clause
    out = show.console()
    out.print(Text(f"{one.id}  {one.level}  profile {one.profile}, {entry.area}", "bold"))
    out.print(Text(one.requirement))
    url = source_url(one.source)
    _fact(out, "source", f"{one.source}{f' <{url}>' if url else ''}")
    _fact(out, "needs", ", ".join(one.needs))
    _fact(out, "target needs", ", ".join(one.target_needs))
    caught = [
        f"{mutant.name}: {mutant.mutant.description}"
        for mutant in mutants.find([])
        if mutant.mutant is not None and one.id in mutant.mutant.catches
    ]
    _fact(out, "catches", "; ".join(caught))
    try:
        last = load(output)
    except ResultsError:
        _fact(out, "cases", ", ".join(entry.cases))
        _fact(out, "last result", f"none in {output}")
        return
    ended = {case.id: case for case in last.cases}
    _fact(out, "last run", f"{last.subject.name} {last.subject.version}, {last.started}")
    for case_id in entry.cases:
        case = ended.get(case_id)
        said = "not run" if case is None else f"{word(case.verdict)}  {first_line(case.message)}"
        _fact(out, "case", f"{visible(case_id)}  {said}".rstrip())


def _fact(out: Console, name: str, value: str) -> None:
    if value:
        out.print(Text.assemble((f"{name + ':':<14}", "dim"), value), soft_wrap=True)


@app.command("subjects")
def list_subjects() -> None:
    """List the subjects that come with the suite."""
    rows = (
        (
            one.name,
            one.description,
            ", ".join(one.profiles),
            ", ".join(sorted(one.capabilities)),
            str(len(one.expected_failures)),
        )
        for one in config.subjects()
    )
    headings = ("subject", "what", "profiles", "capabilities", "expected failures")
    show.table(show.console(), headings, rows)


@app.command("doctor")
def examine(
    install: Annotated[  # noqa: FBT002 - a flag of the command line
        bool,
        typer.Option("--install", help="Install what machines need, by apt, and start libvirt."),
    ] = False,
) -> None:
    """Tell what this machine can run, what it lacks, and the command that mends it."""
    if install:
        vmdoctor.install(activation.say)
    found = doctor.examine()
    show.findings(show.console(), found)
    raise typer.Exit(0 if doctor.able(found) else NOT_SO)


@app.command("mutants")
def kill(
    names: Annotated[list[str] | None, typer.Argument(help="Only these (default: all).")] = None,
    form: _Format = Format.text,
    workers: _Workers = None,
    target: _Target = "local",
    image: _Image = None,
) -> None:
    """Show that each case catches what it claims to; exit 0 only when it is so for all.

    Runs every mutant against the cases of the clauses that it names. With all mutants, each MUST
    clause must have a case that killed one.
    """
    where = target_kinds.check(target)
    count = max(1, _workers(where, workers))
    chosen = mutants.find(names or [])
    if not chosen:
        _complain(f"there are no mutants in {mutants.FOLDER}")
        raise typer.Exit(NOT_SO)
    clauses = catalogue.collect()
    out = show.console(stderr=form is Format.json)
    with contextlib.closing(target_kinds.session(where, activation.say)):
        toll = mutants.run(
            chosen,
            clauses,
            workers=count,
            told=lambda fate: show.fate(out, fate),
            target=where,
            image=None if image is None else activation.image_layout(str(image)),
        )
    if names:
        toll.uncovered = []  # a part of the mutants says nothing of what all of them cover
    show.toll(out, toll)
    if form is Format.json:
        _print_json(toll.to_json())
    raise typer.Exit(0 if toll.good else NOT_SO)


class Schema(StrEnum):
    """Which of the two."""

    protocol = "protocol"
    results = "results"


@app.command("schema")
def print_schema(
    which: Annotated[Schema, typer.Argument(help="Of the protocol, or of results.json.")] = (
        Schema.protocol
    ),
    write: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--write", help="Write both to their files in the suite's folder.")
    ] = False,
) -> None:
    """Print a JSON Schema, or renew the ones that are checked in."""
    if not write:
        print(schemas.text(which.value), end="")  # noqa: T201
        return
    for path in schemas.write(CONFORMANCE):
        print(path)  # noqa: T201


@image_app.command("build")
def image_build(
    output: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
) -> None:
    """Build an OCI image from Debian packages, with umoci (needs root, apt and mmdebstrap)."""
    err = show.console(stderr=True)
    path = realimage.build(output, lambda line: err.print(Text(line), soft_wrap=True))
    print(path)  # noqa: T201


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))  # noqa: T201


def _complain(message: str) -> None:
    print(f"{PROGRAM}: {visible(message)}", file=sys.stderr)  # noqa: T201


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's form of a callback
    if asked:
        print(f"{PROGRAM} {SUITE_VERSION}, protocol {PROTOCOL_VERSION}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: FBT002 - its callback does it all
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Tell and end.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line: the entry point."""
    try:
        app()
    except HarnessError as error:
        _complain(str(error))
        sys.exit(USAGE)
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
