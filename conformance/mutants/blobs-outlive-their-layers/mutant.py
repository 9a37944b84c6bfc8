"""Mutant: leaves the blob where it is when a layer is removed. Caught by ZFS-215, ZFS-216."""

from layerfs.blobstore import BlobStore
from layerfs.cli import main

BlobStore.discard = lambda *_: None

raise SystemExit(main())
