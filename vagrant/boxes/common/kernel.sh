# In the root of the kernel stage: puts what a machine boots and loads into /out.
#   sh kernel.sh MODULES INITRD_MODULES   (names, separated by blanks)
# /out: vmlinuz, initrd.img, modules.tar, versions (two lines: the kernel's, the ZFS module's).
set -eu
export LC_ALL=C
release=$(basename /lib/modules/*)
[ -d "/lib/modules/$release" ] || { echo "one kernel is expected, not '$release'" >&2; exit 1; }
tree=/lib/modules/$release
rm -rf /out /keep
mkdir -p /out /keep "$tree"

# dkms reports a failed build of the module by a warning of its postinst only.
zfs=$(modinfo -k "$release" -F version zfs)

needed() { # the files of these modules and of what they depend on, each after what it needs
    for module in "$@"; do
        modprobe -S "$release" --show-depends "$module" >> /needed
    done
    awk '$1 == "insmod" && !seen[$2]++ { print $2 }' /needed
    rm /needed
}

# Unpacked: what is compressed costs the guest's emulated processor much, the disk little.
modules=$(needed $1)
for file in $modules; do
    copy=/keep$tree/${file#"$tree/"}
    mkdir -p "$(dirname "$copy")"
    case $file in
        *.xz) xz -dc "$file" > "${copy%.xz}" ;;
        *.zst) zstd -qdc "$file" > "${copy%.zst}" ;;
        *) cp "$file" "$copy" ;;
    esac
done
cp "$tree"/modules.builtin "$tree"/modules.builtin.modinfo "$tree"/modules.order "/keep$tree/"
depmod -b /keep "$release"
tar -C /keep/lib -cf /out/modules.tar modules

initrd=/out/initrd
mkdir -p $initrd/bin $initrd/dev $initrd/proc $initrd/sys $initrd/root $initrd/seed $initrd/modules
cp /bin/busybox $initrd/bin/
cp /recipe/initrd/* $initrd/
chmod 755 $initrd/init $initrd/bound
modules=$(needed $2)
for file in $modules; do
    name=$(basename "$file" | sed 's/\.ko.*/.ko/')
    cp "$(find /keep -name "$name")" "$initrd/modules/$name"
    echo "$name" >> $initrd/modules/order
done
awk '!/^#/ { split(substr($3, 2), n, ":"); print $2, substr($3, 1, 1), n[1], n[2] }' \
    "/keep$tree/modules.devname" > $initrd/modules/nodes
(cd $initrd && find . | sort | busybox cpio -o -H newc) > /out/initrd.img
rm -r $initrd
cp "/boot/vmlinuz-$release" /out/vmlinuz
printf '%s\n' "$release" "$zfs" > /out/versions
