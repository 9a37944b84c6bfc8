# In the new root, when packages, modules, files and the Python environment are there.
#   sh finish.sh UNITS_TO_MASK   (names, separated by blanks)
set -eu
export LC_ALL=C

useradd --create-home --shell /bin/bash --uid 1000 vagrant
usermod --password '*' vagrant # no password, yet not locked: sshd lets a key in
usermod --password '*' root
printf '%s\n' 'vagrant:100000:65536' > /etc/subuid
cp /etc/subuid /etc/subgid
install -d -m 700 /root/.ssh
install -d -m 700 -o vagrant -g vagrant /home/vagrant/.ssh

for unit in $1; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
systemctl set-default multi-user.target
systemctl enable ssh.service

# The same in all machines of a box: nothing tells them apart but what their seed says.
echo 6c617965726673000000000000000001 > /etc/machine-id
printf '%s\n' '127.0.0.1 localhost' '::1 localhost' > /etc/hosts
# The initrd mounts the root; nothing else is mounted by systemd.
: > /etc/fstab
# Programs that look at every boot whether there is something that is not.
mkdir -p /etc/systemd/system-generators
for generator in /usr/lib/systemd/system-generators/*; do
    ln -s /dev/null "/etc/systemd/system-generators/${generator##*/}"
done

/opt/layerfs-env/bin/python -m compileall -q /opt/layerfs-env
/opt/layerfs-env/bin/python -c 'import isal.igzip, pydantic, zstandard'
