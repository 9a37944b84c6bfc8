"""What a box is made of: ``vagrant/boxes/NAME/recipe.toml`` on top of what all boxes share.

Lists are joined, the common part first; a single value of the box replaces the common one. A
recipe with ``base`` is made upon that of another box in the same way. Files below ``files/`` go
into the guest under the same path, and ``common/`` has the scripts that turn packages into a guest.
Nothing is built or run here.

The key of a recipe changes with everything that the box is made from, except for the state of
Debian's archive: a box stays as it was built until its recipe changes or it is removed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from harness.errors import ConfigError

#: Changes when the code that builds would make another box of the same recipe.
BUILDER: Final = 1
FILE_NAME: Final = "recipe.toml"
_COMMON: Final = "common"
#: The distribution whose runtime dependencies every box carries.
_PACKAGE: Final = "layerfs"

_Word = Annotated[str, Field(pattern=r"^\S+$")]


def _inside(path: str) -> str:
    if path.startswith("/") or not set(path.split("/")).isdisjoint({"", ".", ".."}):
        raise ValueError("a path relative to the guest's root, without '..', is wanted")
    return path


_Inside = Annotated[_Word, AfterValidator(_inside)]


def data() -> Path:
    """Return the folder ``vagrant/``: of the checkout, or of the installed package."""
    here = Path(__file__).resolve().parent
    installed = here / "vagrant"
    return installed if installed.is_dir() else here.parent / "vagrant"


class Recipe(BaseModel):
    """One box: packages and modules by name, paths relative to the guest's root, bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: _Word
    #: The boxes whose recipes this one has taken in, the lowest first.
    bases: tuple[_Word, ...] = ()
    description: str
    suite: _Word
    python: Annotated[str, Field(pattern=r"^3\.\d+$")]
    components: list[_Word]
    kernel_packages: list[_Word]
    packages: list[_Word]
    modules: list[_Word]
    initrd_modules: list[_Word]
    mask: list[_Word]
    remove: list[_Inside]
    cmdline: list[_Word]
    disk_size: Annotated[int, Field(ge=1 << 30, multiple_of=1 << 30)]

    def folders(self) -> list[Path]:
        """Return the folders with its files and scripts, the common one first."""
        return [data() / "boxes" / one for one in (_COMMON, *self.bases, self.name)]

    def requirements(self) -> list[str]:
        """Return what pip installs into the guest's environment, as in pyproject's dependencies."""
        return runtime_requirements()

    def key(self) -> str:
        """Return 16 hexadecimal digits that name this recipe's content."""
        state = hashlib.sha256()
        said = {
            "builder": BUILDER,
            "machine": platform.machine(),
            "recipe": self.model_dump(exclude_defaults=True),
            "requirements": self.requirements(),
        }
        state.update(json.dumps(said, sort_keys=True).encode())
        for folder in self.folders():
            for file in sorted(folder.rglob("*")):
                if file.is_file() and file.name != FILE_NAME:
                    content = hashlib.sha256(file.read_bytes()).hexdigest()
                    state.update(f"\n{file.relative_to(folder)} {content}".encode())
        return state.hexdigest()[:16]


def names() -> list[str]:
    """Return the boxes that have a recipe."""
    found = (data() / "boxes").glob(f"*/{FILE_NAME}")
    return sorted(file.parent.name for file in found if file.parent.name != _COMMON)


def load(name: str) -> Recipe:
    """Return the recipe of a box. Raises ConfigError, in one line."""
    if name not in names():
        raise ConfigError(f"there is no box {name!r}; there are: {', '.join(names())}")
    files, parts = [_file(name)], [_read(_file(name))]
    bases: list[str] = []
    while (base := parts[0].pop("base", None)) is not None:
        if base not in names() or base in {name, *bases}:
            raise ConfigError(f"{files[0]}: base: {base!r} is no other box's name")
        bases.insert(0, base)
        files.insert(0, _file(base))
        parts.insert(0, _read(files[0]))
    merged: dict[str, Any] = {"name": name, "bases": tuple(bases)}
    for said in (_read(_file(_COMMON)), *parts):
        for key, value in said.items():
            before = merged.get(key)
            joined = isinstance(before, list) and isinstance(value, list)
            merged[key] = before + value if joined else value
    try:
        return Recipe.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{files[-1]}: {where}: {first['msg']}") from error


def _file(name: str) -> Path:
    return data() / "boxes" / name / FILE_NAME


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error


def runtime_requirements() -> list[str]:
    """Return the package's dependencies without extras, for this kind of machine.

    Raises ConfigError when the package is not installed, so that nobody knows them.
    """
    try:
        told = importlib.metadata.requires(_PACKAGE) or []
        parsed = [Requirement(line) for line in told]
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError(f"the package {_PACKAGE} is not installed: pip install it") from error
    except InvalidRequirement as error:
        raise ConfigError(f"the metadata of {_PACKAGE}: {error}") from error
    return sorted(
        f"{one.name}{one.specifier}"
        for one in parsed
        if one.marker is None or one.marker.evaluate({"extra": ""})
    )
