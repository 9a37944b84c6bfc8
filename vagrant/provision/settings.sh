#!/bin/sh
# What the suite expects of a host besides packages: ids for rootless cases, room for sessions over
# one ssh connection, no jobs that change the host behind a case's back, and the mark that nothing
# on it is worth keeping. May be run again; needs root.
set -eu

user=${1:-vagrant}
id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$user"
for file in /etc/subuid /etc/subgid; do
    grep -q "^$user:" $file 2>/dev/null || echo "$user:100000:65536" >>$file
done
echo "$user ALL=(ALL) NOPASSWD: ALL" >"/etc/sudoers.d/$user"
chmod 440 "/etc/sudoers.d/$user"

# Root is entered by the key of the user that Vagrant has made.
keys=$(getent passwd "$user" | cut -d: -f6)/.ssh/authorized_keys
if [ -e "$keys" ]; then
    install -d -m 700 /root/.ssh
    install -m 600 "$keys" /root/.ssh/authorized_keys
fi
cat >/etc/ssh/sshd_config.d/layerfs.conf <<'CONF'
MaxSessions 1000
MaxStartups 100
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
CONF
for unit in apt-daily.timer apt-daily-upgrade.timer fstrim.timer e2scrub_all.timer \
    systemd-tmpfiles-clean.timer unattended-upgrades.service zfs-zed.service; do
    if systemctl --quiet is-active "$unit"; then systemctl stop "$unit"; fi
    ln -sf /dev/null "/etc/systemd/system/$unit" # as systemctl mask, which wants the unit to be there
done
: >/etc/layerfs-disposable
systemctl daemon-reload
systemctl try-reload-or-restart ssh.service
