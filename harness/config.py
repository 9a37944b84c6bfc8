"""``subject.toml``: what a subject says of itself, checked to the last key.

Garbage ends in one :class:`harness.errors.ConfigError` line: the file, the key, what is wrong, and
what is allowed. Nothing of the subject is run or imported here.

A mutant names another subject as its ``base`` and states only what differs: tables are merged key
by key, lists are replaced. ``{dir}`` in what it inherits means the folder of the file that wrote
it. ``name`` and ``[mutant]`` are never inherited; the folder's name is a mutant's name.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from harness.errors import ConfigError
from harness.protocol import CAPABILITIES, HOST_NEEDS

PROFILES: Final = (
    "core", "overlay", "overlay-on-zfs", "zfs", "rootless", "hostile", "crash", "power", "scale",
)  # fmt: skip
FILE_NAME: Final = "subject.toml"
#: The suite's own folder, beside this package both in a checkout and where it is installed.
CONFORMANCE: Final = Path(__file__).resolve().parent.parent / "conformance"
SUBJECTS: Final = CONFORMANCE / "subjects"

Text = Annotated[str, Field(min_length=1)]
Profile = Literal[
    "core", "overlay", "overlay-on-zfs", "zfs", "rootless", "hostile", "crash", "power", "scale"
]


_Limit = Annotated[int | None, Field(ge=1)]
_OneOrMore = Annotated[
    list[Text], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Command(_Table):
    """How the subject is called: ``call VERB`` or ``session`` is appended to ``argv``.

    ``{python}`` is an interpreter on the host, ``{dir}`` this folder on the host; ``env`` is added
    to the target's environment.
    """

    argv: Annotated[list[Text], Field(min_length=1)]
    env: dict[str, str] = {}


class Limits(_Table):
    """Documented limits of the subject: beyond them it must refuse with ``limit-exceeded``.

    Numbers, bytes or times, as PROTOCOL.md, section 9, says of each; None where none is declared.
    """

    max_layers: _Limit = None
    max_members: _Limit = None
    max_output_bytes: _Limit = None
    max_ratio: _Limit = None
    ratio_floor_bytes: Annotated[int | None, Field(ge=0)] = None
    max_header_bytes: _Limit = None
    max_global_bytes: _Limit = None
    max_path_bytes: _Limit = None
    max_depth: _Limit = None
    max_xattr_name_bytes: _Limit = None
    max_xattr_value_bytes: _Limit = None
    max_xattrs_bytes: _Limit = None
    max_sparse_entries: _Limit = None
    max_file_bytes: _Limit = None
    max_apparent_bytes: _Limit = None
    max_implicit_bytes: _Limit = None


class Timeouts(_Table):
    """Seconds. ``call`` is how long one request may take."""

    call: float = Field(default=60.0, gt=0, strict=False)


class Install(_Table):
    """What makes a host ready that has not this machine's files (:mod:`harness.install`).

    ``packages`` must be there; ``upload`` names files and folders, relative to this folder, which
    lie on the host as they lie here, relative to one another and to this folder; ``run`` are
    commands.
    """

    packages: list[Text] = []
    upload: list[Text] = []
    run: list[Annotated[list[Text], Field(min_length=1)]] = []


class ExpectedFailure(_Table):
    """Clauses, or single cases of them, that are known to fail, and where that is tracked.

    One defect often fails several: either may be a list, and both may be given. ``shown_by`` is a
    command that shows it with the implementation's own means, for readers only.
    """

    clause: _OneOrMore = []
    case: _OneOrMore = []
    reason: Text
    link: Annotated[str, Field(pattern=r"^https?://\S+$")]
    shown_by: Text | None = None

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if not self.clause and not self.case:
            raise ValueError("needs either clause or case")
        return self

    def covers(self, clause: str, case: str) -> bool:
        """Say whether the case ``case`` (``CLAUSE`` or ``CLAUSE[param]``) is expected to fail."""
        return case in self.case or clause in self.clause


class Mutant(_Table):
    """What is deliberately broken, and which clauses catch it."""

    description: Text
    catches: Annotated[list[Text], Field(min_length=1)]
    #: The fault that is planted is a crash; otherwise one that only crashes is a broken mutant.
    crashes: bool = False


class SubjectConfig(_Table):
    """One ``subject.toml``, with its base merged in."""

    protocol: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: str = ""
    base: str | None = None
    profiles: Annotated[list[Profile], Field(min_length=1)]
    capabilities: list[str] = []
    command: Command
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    install: Install = Install()
    expected_failures: list[ExpectedFailure] = []
    mutant: Mutant | None = None
    _directory: Path = PrivateAttr()
    _bases: tuple[Path, ...] = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Remember where the files lie; only :func:`load` makes one of these."""
        self._directory, *bases = context["folders"]
        self._bases = tuple(bases)

    @property
    def directory(self) -> Path:
        """The folder that the file lies in, on this machine."""
        return self._directory

    @property
    def bases(self) -> tuple[Path, ...]:
        """The folders of its base, of that one's base, and so on, on this machine."""
        return self._bases

    def declares(self, *capabilities: str) -> bool:
        """Say whether the subject declares all of these capabilities."""
        return set(capabilities) <= set(self.capabilities)

    @property
    def target_needs(self) -> tuple[str, ...]:
        """The facts of a host without which the subject is asked nothing there."""
        return tuple(fact for one in self.capabilities for fact in HOST_NEEDS.get(one, ()))

    def argv(self, *, python: str, directory: str) -> list[str]:
        """Return the command with its placeholders filled in; nothing is appended yet."""
        return [fill(part, python, directory) for part in self.command.argv]

    def env(self, *, python: str, directory: str) -> dict[str, str]:
        """Return what is added to the environment, with its placeholders filled in."""
        return {name: fill(value, python, directory) for name, value in self.command.env.items()}

    def expected_failure(self, clause: str, case: str) -> ExpectedFailure | None:
        """Return the entry that covers this case, if there is one."""
        return next((entry for entry in self.expected_failures if entry.covers(clause, case)), None)


def load(directory: Path | str) -> SubjectConfig:
    """Read ``directory/subject.toml`` and its bases. Raises ConfigError, one line."""
    folder = Path(directory).resolve()
    folders: list[Path] = []
    merged = _read_with_base(folder, folders)
    merged.setdefault("name", folder.name)
    file = folder / FILE_NAME
    try:
        config = SubjectConfig.model_validate(merged, context={"folders": folders})
    except ValidationError as error:
        raise ConfigError(_one_line(file, error)) from None
    for index, capability in enumerate(config.capabilities):
        if capability not in CAPABILITIES:
            what = f"{capability!r} is not a capability{_did_you_mean(capability, CAPABILITIES)}"
            allowed = ", ".join(sorted(CAPABILITIES))
            raise ConfigError(f"{file}: capabilities[{index}]: {what}; allowed: {allowed}")
    return config


def resolve(subject: str) -> SubjectConfig:
    """Find a subject by its name in ``conformance/subjects``, or by its folder, and load it."""
    named = SUBJECTS / subject
    if "/" not in subject and (named / FILE_NAME).is_file():
        return load(named)
    if Path(subject).is_dir():
        return load(subject)
    known = [config.name for config in _folders(SUBJECTS)]
    raise ConfigError(
        f"{subject}: neither a subject nor a folder with {FILE_NAME}"
        f"{_did_you_mean(subject, known)}; known subjects: {', '.join(known) or 'none'}"
    )


def subjects() -> list[SubjectConfig]:
    """Return the subjects that come with the suite, by name. Raises ConfigError."""
    return [load(folder) for folder in _folders(SUBJECTS)]


def _folders(parent: Path) -> list[Path]:
    return sorted(file.parent for file in parent.glob(f"*/{FILE_NAME}"))


def _read_with_base(folder: Path, chain: list[Path]) -> dict[str, Any]:
    """Return the raw tables of ``folder``, over those of its base; both are added to ``chain``."""
    file = folder / FILE_NAME
    if folder in chain:
        circle = " -> ".join(one.name for one in [*chain, folder])
        raise ConfigError(f"{file}: base: leads back to itself: {circle}")
    own = _read(file)
    chain.append(folder)
    base = own.get("base")
    if base is None:
        return own
    if not isinstance(base, str) or not (folder / base / FILE_NAME).is_file():
        raise ConfigError(f"{file}: base: {base!r} is no folder with a {FILE_NAME}")
    inherited = _read_with_base((folder / base).resolve(), chain)
    for never in ("name", "mutant", "base"):
        inherited.pop(never, None)
    if isinstance(inherited.get("command"), dict):
        inherited["command"] = _replace_dir(inherited["command"], f"{{dir}}/{base}")
    if isinstance(inherited.get("install"), dict):
        inherited["install"] = _moved_install(inherited["install"], base)
    return _merge(inherited, own)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not TOML: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not TOML: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _replace_dir(value: Any, replacement: str) -> Any:
    if isinstance(value, str):
        return value.replace("{dir}", replacement)
    if isinstance(value, list):
        return [_replace_dir(item, replacement) for item in value]
    if isinstance(value, dict):
        return {key: _replace_dir(item, replacement) for key, item in value.items()}
    return value


def fill(text: str, python: str, directory: str) -> str:
    """Return a word of ``[command]`` or ``[install]`` with its placeholders filled in."""
    return text.replace("{python}", python).replace("{dir}", directory)


def _moved_install(install: dict[str, Any], base: str) -> dict[str, Any]:
    """Return the base's ``[install]`` as it reads from here; what is malformed is left so."""
    moved = _replace_dir(install, f"{{dir}}/{base}")
    if isinstance(moved.get("upload"), list):
        moved["upload"] = [
            f"{base}/{path}" if isinstance(path, str) and path else path for path in moved["upload"]
        ]
    return dict(moved)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


# --- one line for each kind of mistake ---------------------------------------------------------

_TYPE_NAMES: Final[Mapping[type, str]] = {
    str: "text", bool: "a boolean", int: "an integer", float: "a number", list: "a list",
    dict: "a table",
}  # fmt: skip
_WANTED: Final[Mapping[str, str]] = {
    "string_type": "text", "list_type": "a list", "dict_type": "a table", "int_type": "an integer",
    "float_type": "a number", "float_parsing": "a number", "model_type": "a table",
    "bool_type": "a boolean",
}  # fmt: skip


def _one_line(file: Path, error: ValidationError) -> str:
    """Tell the first mistake in full, and how many more there are."""
    mistakes = error.errors(include_url=False)
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    first = mistakes[0]
    return f"{file}: {_key(first)}: {_what(first)}{more}"


def _key(mistake: ErrorDetails) -> str:
    path = ""
    for part in mistake["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _what(mistake: ErrorDetails) -> str:
    kind, given, facts = mistake["type"], mistake["input"], mistake.get("ctx", {})
    if kind == "missing":
        what = "is missing"
    elif kind == "extra_forbidden":
        keys = _keys_of_table(mistake["loc"][:-1])
        guess = _did_you_mean(str(mistake["loc"][-1]), keys)
        what = f"unknown key{guess}; allowed here: {', '.join(keys)}"
    elif kind == "literal_error":
        allowed = str(facts["expected"]).replace(" or ", ", ").replace("'", "")
        what = f"{given!r} is not allowed; allowed: {allowed}"
    elif kind in _WANTED:
        given_type = _TYPE_NAMES.get(type(given), type(given).__name__)
        what = f"must be {_WANTED[kind]}, not {given_type}"
    elif kind == "value_error":
        what = str(facts["error"])
    elif kind in {"string_too_short", "too_short"}:
        what = "must not be empty"
    else:
        text = mistake["msg"].removeprefix("Input ").removeprefix("String ")
        what = f"{given!r} {text[0].lower()}{text[1:]}"
    return what


def _keys_of_table(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the table at ``location`` knows."""
    models: dict[str, type[BaseModel]] = {
        "command": Command, "limits": Limits, "timeouts": Timeouts, "install": Install,
        "expected_failures": ExpectedFailure, "mutant": Mutant,
    }  # fmt: skip
    model = models[str(location[0])] if location else SubjectConfig
    return list(model.model_fields)
