"""What is measured on: a real image, a layer of small files, one of large files, a wide image.

Everything is kept in the user's cache folder, beside the images that ``harness.realimage`` keeps,
under a key made of its recipe. A build that fails leaves nothing there.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks import layouts, packages
from benchmarks.layouts import Blob
from benchmarks.packages import BenchError, Log, run
from harness import realimage
from harness.errors import HarnessError

#: Layers of the image that tells what a mount of many costs.
TINY: Final = 128
_CHUNK: Final = 1 << 20
_TREES: Final = {"small": packages.SMALL, "large": packages.LARGE}


@dataclass(frozen=True, slots=True)
class LayerFile:
    """One layer as two files, ``<stem>.tar`` and ``<stem>.tar.gz``; sizes in bytes."""

    stem: str
    tar_size: int
    gz_size: int
    diff_id: str  #: also the digest of the plain tar as a blob
    gz_digest: str
    entries: int
    made_of: tuple[str, ...]

    @property
    def tar(self) -> Path:
        """The plain tar."""
        return Path(f"{self.stem}.tar")

    @property
    def gz(self) -> Path:
        """The same, compressed by ``gzip -6`` (or as the real image has it)."""
        return Path(f"{self.stem}.tar.gz")

    def warm(self) -> None:
        """Read both files, so that they are in the page cache."""
        for path in (self.tar, self.gz):
            with path.open("rb", buffering=0) as file:
                while file.read(_CHUNK):
                    pass


def small(log: Log) -> LayerFile:
    """Return a layer of at least 30,000 small files."""
    return _of_packages("small", log)


def large(log: Log) -> LayerFile:
    """Return a layer of a few large files."""
    return _of_packages("large", log)


def real(log: Log) -> LayerFile:
    """Return the largest layer of the real image."""
    blob = max(real_image(log), key=lambda one: one.size).path

    def build(stem: Path) -> LayerFile:
        shutil.copyfile(blob, f"{stem}.tar.gz")
        with gzip.open(blob) as packed, open(f"{stem}.tar", "wb") as plain:
            shutil.copyfileobj(packed, plain, _CHUNK)
        return described(stem, (realimage.key(),))

    return _kept("real", blob.name, build)


def real_image(log: Log) -> list[Blob]:
    """Return the layers of the image that the tests build. BenchError: it cannot be built here."""
    try:
        return layouts.layers_of(realimage.cached(log))
    except HarnessError as error:
        raise BenchError(str(error)) from error


def image(log: Log) -> Path:
    """Return an image of the real image's layers: a folder with ``oci`` and the same as oci.tar."""
    return _image("image", real_image(log), log)


def wide_image(log: Log) -> Path:
    """Return an image of the real image's layers, with ``small`` and ``large`` on top of them.

    The real image has one layer that counts; here three do, which depend on each other in nothing.
    """
    more = [
        Blob(one.gz, one.gz_digest, one.gz_size, one.diff_id) for one in (small(log), large(log))
    ]
    return _image("wide", real_image(log) + more, log)


def tiny_image(log: Log) -> Path:
    """Return an image of 128 layers with a small file each."""
    return _image("tiny", [layouts.tiny(number) for number in range(TINY)], log)


def _image(name: str, layers: list[Blob], log: Log) -> Path:
    recipe = Path(layouts.__file__).read_bytes() + "".join(one.digest for one in layers).encode()
    folder = cache() / f"{name}-{hashlib.sha256(recipe).hexdigest()[:16]}"
    if not folder.exists():
        log(f"writing the image {name!r}")
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache()) as scratch:
            made = Path(scratch) / "made"
            layouts.write(made / "oci", layers)
            run(["tar", "-C", made / "oci", "-cf", made / "oci.tar", "."])
            made.rename(folder)
    return folder


def cache() -> Path:
    """Return the folder of all inputs, and make it."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home) / "layerfs" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _of_packages(name: str, log: Log) -> LayerFile:
    release = Path("/etc/os-release").read_bytes()
    recipe = hashlib.sha256(repr(_TREES[name]).encode() + release + _RECIPE.encode())

    def build(stem: Path) -> LayerFile:
        log(f"making the input {name!r} from packages")
        tree = stem.parent / "tree"
        taken = packages.make(_TREES[name], tree, log)
        log(f"  packing {name!r}")
        run(["sh", "-euc", _RECIPE, "sh", tree, stem])
        shutil.rmtree(tree)
        return described(stem, tuple(taken))

    return _kept(name, recipe.hexdigest(), build)


#: Headers as Go's archive/tar writes them, which writes most layers: PAX only where it is needed.
_RECIPE: Final = """
tar --format=posix --pax-option=delete=atime,delete=ctime --sort=name --numeric-owner \
    -C "$1" -cf "$2.tar" .
gzip -6 -n -c "$2.tar" > "$2.tar.gz"
"""


def _kept(name: str, recipe: str, build: Callable[[Path], LayerFile]) -> LayerFile:
    """Return the layer of the cache; build it there, whole or not at all, when it is missing."""
    folder = cache() / f"{name}-{recipe[:16]}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache()) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            facts = asdict(build(made / name))
            (made / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
            made.rename(folder)
    facts = json.loads((folder / "facts.json").read_bytes())
    facts |= {"stem": str(folder / name), "made_of": tuple(facts["made_of"])}
    return LayerFile(**facts)


def described(stem: Path, made_of: tuple[str, ...]) -> LayerFile:
    """Return the facts of the two files of ``stem``."""
    tar, packed = Path(f"{stem}.tar"), Path(f"{stem}.tar.gz")
    listed = subprocess.run(["tar", "-tf", tar], capture_output=True, check=True).stdout
    return LayerFile(
        str(stem),
        tar.stat().st_size,
        packed.stat().st_size,
        digest_of(tar),
        digest_of(packed),
        listed.count(b"\n"),
        made_of,
    )


def digest_of(path: Path) -> str:
    """Return ``sha256:…`` of a file."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
