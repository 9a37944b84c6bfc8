#!/bin/sh
# As root: a socket in an unpacked bundle ends `umoci repack`; a tar cannot hold one, and tar(1) passes it over.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
umoci init --layout image
umoci new --image image:latest
umoci unpack --image image:latest bundle
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("bundle/rootfs/socket")'
umoci repack --image image:latest bundle || echo "umoci: status $?"
