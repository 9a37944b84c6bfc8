"""layerfs: a compact, correct reference implementation of an OCI layer filesystem."""

__version__ = "0.1.0"
