#!/bin/bash
# Boots a real systemd as PID 1 of nested namespaces, over an overlay of this machine's root; nothing outside is touched.
#
#   boot.sh FOLDER CGROUP      FOLDER is /arena inside, read-write; what lies in FOLDER/root is laid over the root;
#                              CGROUP (version 2, ours) becomes the root of its hierarchy
#
# With SIDEWINDER_TEST_ROOT it is another root, made by debootstrap with systemd, python3 and iproute2 in it: that is how
# a newer systemd is met.
#
# Started by tests/tests/systemd/machine.rs, which waits for the target, fetches the journal and ends what it started.
# The controllers of the hierarchy are those of this machine: where they are on version 1 there are none inside, and
# limits are tried on a booted machine (tests/machine).
set -euo pipefail

if [[ ${1:-} != --inside ]]; then
    folder=$(realpath "$1")
    echo $$ >"$2/cgroup.procs"
    # Whoever started this may be killed: then it is over as well.
    exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup "$0" --inside "$folder"
fi

folder=$2
mount --make-rprivate /
stage=$folder/stage
mkdir "$stage"
mount -t tmpfs tmpfs "$stage"
mkdir "$stage"/{upper,work,top}
top=$stage/top
mount -t overlay overlay -o "lowerdir=${SIDEWINDER_TEST_ROOT:-/},upperdir=$stage/upper,workdir=$stage/work" "$top"
mkdir -p "$top/arena" "$top/.old"
mount --bind "$folder" "$top/arena"
mount -t proc proc "$top/proc"
mount -t sysfs sysfs "$top/sys"
mkdir -p "$top/sys/fs/cgroup"
mount -t cgroup2 -o nsdelegate cgroup2 "$top/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$top/run"
mount -t tmpfs -o mode=1777 tmpfs "$top/tmp"
mount --rbind /dev "$top/dev"
# What this machine has enabled, and what every service would pull in, has nothing to do here.
units=$top/etc/systemd/system
rm -rf "$units"/*.wants "$units"/*.requires
for unit in systemd-{udevd,udev-trigger,timesyncd,hwdb-update,tmpfiles-setup,tmpfiles-setup-dev,sysusers,update-utmp} \
    systemd-{random-seed,journal-flush,binfmt,modules-load,sysctl,pcrphase-sysinit,remount-fs} apparmor ldconfig; do
    ln -sf /dev/null "$units/$unit.service"
done
for mount in dev-hugepages dev-mqueue sys-kernel-{config,debug,tracing} sys-fs-fuse-connections; do
    ln -sf /dev/null "$units/$mount.mount"
done
cp -a "$folder/root/." "$top/"
printf '%032x\n' 1 >"$top/etc/machine-id"
ip link set lo up
cd "$top"
pivot_root . .old
cd /
umount -l /.old
# A manager in a container tells its own manager when everything wanted has been started.
exec env -i container=sidewinder-test NOTIFY_SOCKET=/arena/notify PATH=/usr/bin:/bin:/usr/sbin:/sbin /lib/systemd/systemd \
    --system --unit=arena.target --log-target=journal-or-kmsg --log-level=info --show-status=0
