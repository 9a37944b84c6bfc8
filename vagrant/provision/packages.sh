#!/bin/sh
# On a public Debian 12 or 13 box: the packages of our own boxes, and ZFS built for its kernel.
# May be run again; needs root and a network.
set -eu
export DEBIAN_FRONTEND=noninteractive

packages="
    openssh-server sudo iproute2 procps mount
    python3 python3-pyzfs zfsutils-linux
    attr acl libcap2-bin util-linux strace uidmap
    e2fsprogs xfsprogs dmsetup fuse3
"

# ZFS is in contrib. Sources come in two forms: one line each, or deb822.
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -e "$file" ] || continue
    sed -i -E '/^deb(-src)? /{/ contrib( |$)/!s/ main( |$)/ main contrib\1/}' "$file"
done
for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    sed -i -E '/^Components:/{/ contrib( |$)/!s/ main( |$)/ main contrib\1/}' "$file"
done

apt-get update -qq
# The headers first: dkms builds for the kernels whose headers it finds.
apt-get install -y -qq --no-install-recommends "linux-headers-$(uname -r)" dkms
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends zfs-dkms $packages
modprobe zfs
