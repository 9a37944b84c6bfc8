"""What ``--subject`` switches on: the options checked and joined, and the plugins that use them.

Everything wrong with the options is a ``pytest.UsageError`` of one line, before a case is read.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pytest

from harness import realimage, target
from harness.config import SubjectConfig, resolve
from harness.errors import ConfigError, HarnessError
from harness.evidence import FOLDER
from harness.plugin import JUDGE
from harness.subject import Mode

#: In place of a folder: the real image that this machine can build by itself.
BUILT: Final = "built"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is to be judged, where, and what is kept of it. Paths are absolute."""

    word: str  #: the subject as it was named
    subject: SubjectConfig
    target: str
    profiles: tuple[str, ...]  #: to be judged
    demanded: tuple[str, ...]  #: those of them that were named on the command line
    cases: frozenset[str]  #: ids of cases or clauses; empty means all
    keyword: str
    image: Path | None
    output: Path
    mode: Mode
    evidence: Literal["none", "bad", "all"]  #: of which cases it is written below ``output``
    keep: bool = False  #: the target of the first bad case, where that can be

    def begun(self, *, image: bool) -> list[str]:
        """Return the words that begin a command which asks this subject again, here."""
        words = ["layerfs-conformance", "run", "--subject", self.word, "--target", self.target]
        if self.mode != "session":
            words += ["--suite-mode", self.mode]
        if image and self.image is not None:
            words += ["--image", str(self.image)]
        return words

    def command(self) -> str:
        """Return the command that does this run again."""
        words = self.begun(image=True)
        for name in self.demanded:
            words += ["--profile", name]
        for case in sorted(self.cases):
            words += ["--case", case]
        if self.keyword:
            words += ["-k", self.keyword]
        return shlex.join(words)


def activate(config: pytest.Config) -> None:
    """Read the subject, check the options, and register what judges and what reports.

    Raises pytest.UsageError, with nothing registered.
    """
    from harness.aggregate import Aggregate  # noqa: PLC0415 - after the options are known good
    from harness.judge import Judge  # noqa: PLC0415

    try:
        settings = read(config.option)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    # Workers of xdist are given the options as they now are, and may have another folder.
    config.option.output = str(settings.output)
    config.option.target = settings.target
    config.option.image = None if settings.image is None else str(settings.image)
    config.pluginmanager.register(Judge(settings), JUDGE)
    if hasattr(config, "workerinput"):
        return
    try:
        _prepare(settings.output)
        session = target.session(settings.target, say)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    config.add_cleanup(session.close)
    if not config.option.xmlpath:
        config.option.xmlpath = str(settings.output / "junit.xml")
    config.pluginmanager.register(Aggregate(settings), "layerfs-conformance-aggregate")


def read(option: argparse.Namespace) -> Settings:
    """Check the plugin's options and join them. Raises ConfigError; changes nothing."""
    subject = resolve(option.subject)
    demanded = tuple(dict.fromkeys(option.profile))
    stranger = [name for name in demanded if name not in subject.profiles]
    if stranger:
        claims = ", ".join(subject.profiles)
        raise ConfigError(
            f"{subject.name} does not claim the profile {stranger[0]!r}; it claims {claims}"
        )
    where = target.check(option.target)
    target.workers(where, getattr(option, "numprocesses", None) or 0, 0)
    return Settings(
        word=option.subject,
        subject=subject,
        target=where,
        profiles=demanded or tuple(subject.profiles),
        demanded=demanded,
        cases=frozenset(option.case),
        keyword=option.keyword,
        image=None if option.image is None else image_layout(option.image),
        output=Path(option.output).absolute(),
        mode=option.suite_mode,
        evidence="all" if option.keep_evidence else "bad",
        keep=option.keep_on_failure,
    )


def say(step: str) -> None:
    """Tell people what takes long before the first case."""
    print(step, file=sys.stderr, flush=True)  # noqa: T201


def image_layout(word: str) -> Path:
    """Return the path of the OCI image layout named by ``word``.

    ``built`` is the one of :mod:`harness.realimage` in the user's cache folder, made when it is
    missing. Raises ConfigError, or ImageBuildError.
    """
    if word == BUILT:
        return realimage.cached(lambda step: print(f"image: {step}", file=sys.stderr))  # noqa: T201
    path = Path(word).absolute()
    if not (path / "oci-layout").is_file():
        raise ConfigError(f"{path}: not an OCI image layout (it has no file oci-layout)")
    return path


def _prepare(output: Path) -> None:
    """Make the folder, and clear it of an earlier run's evidence and of nothing else."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        for old in (output / FOLDER).glob("*/transcript.jsonl"):
            shutil.rmtree(old.parent)
    except OSError as error:
        raise ConfigError(f"--output {output}: {error.strerror}") from error
