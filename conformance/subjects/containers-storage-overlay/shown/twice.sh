#!/bin/sh
# containers-storage refuses a layer in which one name has two entries.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo one > file
tar -cf layer.tar file
echo two > file
tar -rf layer.tar file
mkdir plain && tar -C plain -xf layer.tar && echo "tar extracts: $(cat plain/file)"
containers-storage --graph "$folder/graph" --run "$folder/run" --storage-driver vfs import-layer --file layer.tar || echo "containers-storage: status $?"
