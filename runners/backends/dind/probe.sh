# What known escapes from a container need, tried for real and without harm:
# files are opened for writing or get back the value they hold, mounts are our
# own, and devices are read for one byte. Prints `name|verdict|detail` lines.
# Runs with any POSIX shell, as root in a runner ($1=runner) or in a container
# of its engine ($1=nested). $2: `address:port` words that must not answer.
where=$1
work=$(mktemp -d 2>/dev/null || { mkdir -p /tmp/probe && echo /tmp/probe; })

result() { echo "$1|$2|$3"; }

# A file that must not take a write. Opening says enough; nothing is written.
closed() {
  if [ ! -e "$2" ]; then result "$1" refused "$2 is not there"; return; fi
  if (: >> "$2") 2> /dev/null; then result "$1" accepted "$2 can be opened for writing"
  else result "$1" refused "$2"; fi
}

# A file that opens but must refuse the value that it already holds.
kept() {
  if [ ! -e "$2" ]; then result "$1" refused "$2 is not there"; return; fi
  value=$(cat "$2" 2> /dev/null)
  if (printf '%s' "$value" > "$2") 2> /dev/null; then result "$1" accepted "$2 took a write"
  else result "$1" refused "$2"; fi
}

unmountable() {
  mkdir -p "$work/$1"
  if mount -t "$1" "$1" "$work/$1" 2> /dev/null; then
    umount "$work/$1"; result "mount-$1" accepted "$1 can be mounted"
  else result "mount-$1" refused "$1"; fi
}

# Programs the kernel runs as host root.
closed core_pattern /proc/sys/kernel/core_pattern
closed modprobe /proc/sys/kernel/modprobe
closed uevent_helper /sys/kernel/uevent_helper
mkdir -p "$work/proc"
if mount -t proc proc "$work/proc" 2> /dev/null; then
  closed core_pattern-fresh-proc "$work/proc/sys/kernel/core_pattern"
  closed sysrq-fresh-proc "$work/proc/sysrq-trigger"
  umount "$work/proc"
else result core_pattern-fresh-proc refused "no fresh proc"; fi
closed sysrq /proc/sysrq-trigger
kept panic_on_oom /proc/sys/vm/panic_on_oom

# Control groups: release_agent, devices, own limits.
found=no
for controller in memory pids devices cpu rdma freezer; do
  grep -q "[:,]$controller[:,]" /proc/self/cgroup || continue
  mkdir -p "$work/$controller"
  mount -t cgroup -o "$controller" cgroup "$work/$controller" 2> /dev/null || continue
  found=yes
  if [ -e "$work/$controller/release_agent" ]; then
    kept "release_agent-$controller" "$work/$controller/release_agent"
  fi
  for file in memory.limit_in_bytes memory.memsw.limit_in_bytes pids.max cpu.cfs_quota_us; do
    [ ! -e "$work/$controller/$file" ] || kept "raise-$file" "$work/$controller/$file"
  done
  if [ -e "$work/$controller/devices.allow" ]; then
    if (echo 'c 1:3 rwm' > "$work/$controller/devices.allow") 2> /dev/null; then
      result devices.allow accepted "the device list took an entry"
    else result devices.allow refused devices.allow; fi
  fi
  umount "$work/$controller"
done
for file in memory.max memory.swap.max pids.max cpu.max; do
  [ ! -e "/sys/fs/cgroup/$file" ] || kept "raise-$file" "/sys/fs/cgroup/$file"
done
result release_agent refused "no release_agent in reach (own hierarchy mounted: $found)"

for kind in debugfs tracefs securityfs configfs; do unmountable "$kind"; done

# The host's disks, memory and kernel log.
readable=no
while read -r major minor blocks name; do
  case $major in ''|major|7) continue ;; esac
  rm -f "$work/node"
  mknod "$work/node" b "$major" "$minor" 2> /dev/null || continue
  if dd if="$work/node" of=/dev/null bs=1 count=1 2> /dev/null; then
    readable=yes; result host-disk accepted "$name can be read"
  fi
done < /proc/partitions
[ "$readable" = yes ] || result host-disk refused "no block device of the host can be read"
rm -f "$work/node"
if mknod "$work/node" c 1 1 2> /dev/null && dd if="$work/node" of=/dev/null bs=1 count=1 2> /dev/null
then result host-memory accepted "/dev/mem can be read"; else result host-memory refused /dev/mem; fi
if dd if=/proc/kcore of=/dev/null bs=1 count=1 2> /dev/null
then result kcore accepted "/proc/kcore can be read"; else result kcore refused /proc/kcore; fi

# Sockets of engines other than the runner's own.
sockets=$(find / -xdev -type s 2> /dev/null; find /run /var/run /tmp -type s 2> /dev/null)
foreign=
for socket in $sockets; do
  case $where:$socket in
    runner:/run/docker.sock|runner:/run/containerd/*|runner:/run/docker/*|runner:/var/run/docker*) ;;
    runner:/var/run/containerd/*|runner:/var/lib/runner/*) ;;
    *) foreign="$foreign $socket" ;;
  esac
done
if [ -n "$foreign" ]; then result host-sockets accepted "found:$foreign"
else result host-sockets refused "none found"; fi

# Addresses that must not answer. Only bash and perl can dial.
for target in $2; do
  command -v bash > /dev/null || continue
  if timeout 2 bash -c "exec 3<>/dev/tcp/${target%:*}/${target##*:}" 2> /dev/null
  then result "connect-$target" accepted "$target answers"
  else result "connect-$target" refused "$target"; fi
done
if command -v perl > /dev/null; then
  for family in 17:packet 38:crypto 40:vsock; do
    if perl -e 'for (1, 2, 3, 5) { exit 0 if socket(my $s, $ARGV[0], $_, 0) } exit 1' "${family%:*}"
    then result "socket-${family#*:}" accepted "${family#*:} sockets can be made"
    else result "socket-${family#*:}" refused "${family#*:}"; fi
  done
fi
rm -rf "$work"
result end refused "all tried"
