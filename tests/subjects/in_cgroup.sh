#!/bin/sh
# in_cgroup.sh FILE CMD...: moves itself into the cgroup whose cgroup.procs is FILE, then becomes
# CMD. Started under a monitor it takes the program out of the monitor's cgroup, so that what is
# charged there is the monitor's own. A shell script, because its own start is charged to the
# monitor and this is the cheapest one.
echo $$ > "$1" || exit 125
shift
exec "$@"
