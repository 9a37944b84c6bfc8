#!/bin/sh
# /opt/layerfs-env: a Python environment that has what layerfs needs and sees libzfs_core's binding.
#   python.sh REQUIREMENT...     as in pyproject.toml's dependencies
# May be run again; needs root, python3 and a network.
set -eu
export DEBIAN_FRONTEND=noninteractive
[ $# -gt 0 ] || { echo "usage: $0 REQUIREMENT..." >&2; exit 2; }

environment=/opt/layerfs-env
apt-get install -y -qq --no-install-recommends python3-venv
[ -x $environment/bin/pip ] || python3 -m venv --system-site-packages $environment
$environment/bin/pip install --quiet --disable-pip-version-check --only-binary=:all: "$@"
$environment/bin/python -c 'import isal.igzip, pydantic, zstandard'
