#!/bin/busybox sh
# The first process of the test machine. Mounts the host's files, read-only, below a layer in
# memory that takes every write, and goes on there with start.sh.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do
    insmod "$module" || echo "cannot load $module"
done

mkdir -p /host /layer /root
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose host /host || exit 1
mount -t tmpfs -o size=50% layer /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work root /root || exit 1

umount /proc /sys
mount --move /dev /root/dev
HPCWATCH_VM_PYTHON=$(cat /python)
export HPCWATCH_VM_PYTHON
exec switch_root /root /bin/bash "$(cat /start)"
