#!/bin/bash
# The first process on the test machine's own files: mounts what a node has mounted, with control
# groups of version 2 and every controller in use, and hands over to the agent.
set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LANG=C.UTF-8 TERM=dumb

mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm /data
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev shm /dev/shm
mount -t tmpfs run /run
mount -t ext4 /dev/vda /data
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
# Slurm takes a system.slice with its controllers for granted, as systemd makes it.
mkdir /sys/fs/cgroup/system.slice
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
    echo "+$controller" >/sys/fs/cgroup/system.slice/cgroup.subtree_control
done

# getaddrinfo leaves loopback addresses out unless some other address is up.
hostname vmnode
ip link set lo up
ip address add 10.77.1.1/32 dev lo
printf '127.0.0.1 localhost\n10.77.1.1 vmnode\n' >/etc/hosts

# Only the test of swap switches it on: with it, a program at its limit takes long to be killed.
mkswap /dev/vdb >/dev/null

# The agent answers until the machine is switched off; without it there is nothing to do.
cd "$(dirname "$0")/../.." || exit 1
PYTHONPATH=$PWD/tests "$HPCWATCH_VM_PYTHON" -m vm.inside.agent /dev/ttyS1
echo o >/proc/sysrq-trigger
sleep 60
