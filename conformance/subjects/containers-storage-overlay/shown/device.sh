#!/bin/sh
# As root: a character device 0:0 in a layer hides a file of the layer below, as if it were deleted.
set -eu
folder=$(mktemp -d)
storage() { containers-storage --graph "$folder/graph" --run "$folder/run" --storage-driver overlay "$@"; }
trap 'storage shutdown --force >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
cd "$folder"
mkdir below above
echo secret > below/file
mknod above/file c 0 0
tar -C below -cf below.tar file
tar -C above -cf above.tar file
below=$(storage import-layer --file below.tar)
above=$(storage import-layer --file above.tar "$below")
root=$(storage mount "$above")
echo "in the view: $(ls "$root" | wc -l) files"
storage unmount "$above" >/dev/null
