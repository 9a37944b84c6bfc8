"""Build a real OCI image from Debian or Ubuntu packages, written by umoci and not by a subject.

Four layers, made of what distributions do to a root file system: a minimal base; packages with file
capabilities and their maintainer scripts; edits that replace, delete and change the type of files;
metadata only. It needs root, apt, mmdebstrap and umoci, and says which of them is missing. Nothing
outside the output folder is changed, and a failed build leaves no output.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import HarnessError

TAG = "latest"
PACKAGES = ("iputils-ping", "libcap2-bin", "less", "libpam-cap")

#: What a shell in the root file system does to make each layer after the packages.
EDITS: tuple[str, ...] = (
    # Deleted tree, deleted file, replaced content of the same size with the same mtime, a file that
    # becomes a directory, a directory that becomes a symlink, and a directory emptied and refilled.
    """
    rm -r usr/share/doc usr/share/man
    rm etc/issue.net
    stamp=$(stat -c %y etc/debian_version); size=$(stat -c %s etc/debian_version)
    head -c "$size" /dev/zero | tr '\\0' x > etc/debian_version
    touch -d "$stamp" etc/debian_version
    rm etc/motd; mkdir etc/motd; echo hello > etc/motd/10-hello
    rm -r usr/share/common-licenses; ln -s /usr/share/base-files usr/share/common-licenses
    rm -r etc/update-motd.d; mkdir -p etc/update-motd.d; echo new > etc/update-motd.d/only
    """,
    # Links, odd names, sparse files, ids, nanoseconds and extended attributes.
    """
    mkdir -p srv/data; echo one > srv/data/one
    ln srv/data/one srv/data/two; ln srv/data/one srv/linked-from-above
    ln -s ../../../outside srv/data/dangling
    : > 'srv/data/a:b,c\\d'; : > "srv/data/$(printf 'new\\nline')"; : > srv/data/grüße
    truncate -s 3M srv/data/sparse; echo end >> srv/data/sparse
    chown 4200000:4200001 srv/data/two; chmod 2751 srv/data; chmod 1777 srv
    setfattr -n user.note -v checked srv/data/one
    setfacl -m u:1000:r srv/data/one; setfacl -d -m g:100:rx srv/data
    mkfifo srv/data/pipe; mknod srv/data/null c 1 3
    touch -d '2001-02-03 04:05:06.123456789 UTC' srv/data/one srv/data
    """,
)

NEEDS = {
    "mmdebstrap": "mmdebstrap",
    "umoci": "umoci",
    "setfattr": "attr",
    "setfacl": "acl",
    "dpkg": "dpkg",
    "apt-get": "apt",
}


class ImageBuildError(HarnessError):
    """The image could not be built; the message has the fact and the remedy."""


def key() -> str:
    """Return a name for this recipe on this distribution: same key, same kind of image."""
    recipe = Path(__file__).read_bytes() + _codename().encode()
    return hashlib.sha256(recipe).hexdigest()[:16]


def cached(log: Callable[[str], None]) -> Path:
    """Return the image's layout in the user's cache folder, building it when it is missing."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home) / "layerfs" / "images" / key()
    if not folder.exists():
        build(folder, log)
    return folder / "oci"


def build(output: Path, log: Callable[[str], None]) -> Path:
    """Build the image at ``output/oci`` (an OCI image layout, tag "latest") and return that path.

    ``output`` must not exist; it appears whole or not at all.

    Raises:
        ImageBuildError: something is missing here, or a step failed (its output is in the message).

    """
    missing = missing_needs()
    if missing:
        raise ImageBuildError(f"the real image cannot be built here: {'; '.join(missing)}")
    if output.exists():
        raise ImageBuildError(f"{str(output)!r} is there already: remove it, or name another")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".image-", dir=output.parent) as scratch:
        work = Path(scratch)
        _build(work, log)
        result = work / "result"
        result.mkdir()
        (work / "oci").rename(result / "oci")
        result.rename(output)
    return output / "oci"


def missing_needs() -> list[str]:
    """Say what this machine lacks for a build, each with its remedy; empty when nothing."""
    lacks = [
        f"{tool} is missing (apt-get install {package})"
        for tool, package in NEEDS.items()
        if shutil.which(tool) is None
    ]
    if os.geteuid() != 0:
        lacks.append("not root (mmdebstrap needs device nodes and real owners)")
    return lacks


def _build(work: Path, log: Callable[[str], None]) -> None:
    image, bundle = f"{work / 'oci'}:{TAG}", work / "bundle"
    rootfs = bundle / "rootfs"
    log("base: mmdebstrap --variant=minbase")
    codename = _codename()
    base = work / "base.tar"
    _run(["mmdebstrap", "--variant=minbase", "--mode=root", "--quiet", codename, base, *_sources()])
    _run(["umoci", "init", "--layout", work / "oci"])
    _run(["umoci", "new", "--image", image])
    _run(["umoci", "unpack", "--image", image, bundle])
    _run(["tar", "-C", rootfs, "--xattrs", "--xattrs-include=*", "-xpf", base])
    _repack(image, bundle, "base")
    log(f"packages: {', '.join(PACKAGES)}")
    debs = work / "debs"
    debs.mkdir(mode=0o755)
    _run(["apt-get", "-o", "APT::Sandbox::User=root", "-qq", "download", *PACKAGES], cwd=debs)
    _run(["dpkg", f"--root={rootfs}", "--force-depends", "-i", *sorted(debs.glob("*.deb"))])
    _repack(image, bundle, "packages")
    for number, script in enumerate(EDITS, 1):
        log(f"edits {number} of {len(EDITS)}")
        _run(["sh", "-euc", script], cwd=rootfs)
        _repack(image, bundle, f"edits {number}")
    _run(["umoci", "config", "--image", image, "--config.cmd", "/bin/sh"])
    _run(["umoci", "gc", "--layout", work / "oci"])


def _repack(image: str, bundle: Path, comment: str) -> None:
    told = ("--history.comment", comment)
    _run(["umoci", "repack", "--image", image, "--refresh-bundle", *told, bundle])


def _codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise ImageBuildError("/etc/os-release has no VERSION_CODENAME: not a Debian or Ubuntu release")


def _sources() -> list[str]:
    # The machine's own archive, so that mirrors and proxies that work here go on working.
    codename = _codename()
    fields = "$(ORIGIN) $(RELEASE) $(COMPONENT) $(REPO_URI)"
    listed = _run(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"])
    uris = [
        line.split(" ", 3)[3]
        for line in listed.splitlines()
        if line.startswith((f"Debian {codename} main ", f"Ubuntu {codename} main "))
    ]
    if not uris:
        raise ImageBuildError("apt knows no package lists: run 'apt-get update' once, and again")
    return [f"deb {uris[0]} {codename} main"]


def _run(argv: Sequence[str | Path], cwd: Path | None = None) -> str:
    words = [str(word) for word in argv]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise ImageBuildError(f"{' '.join(words[:4])} … ended with {done.returncode}:\n{tail}")
    return done.stdout
