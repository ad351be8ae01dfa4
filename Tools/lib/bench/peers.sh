# The filesystems that Tools/bench compares, each mounted at $scratch/NAME:
#   ours    Varve on an image behind the emulated controller
#   ext4    on a loop device over an image
#   zram    ext4 on a zram device: the kernel's own path over a device of no latency. It stores only the value of a page
#           that holds one 8-byte value over and over, so loads write the byte 0xAA.
#   null    a daemon of our own mount and reactor that answers from memory
#   pinned  the same, on one processor together with its load
# All images are in memory; those of `ours` and `ext4` have all their pages. Sourced by Tools/bench.

# Where images, mount points and logs are, for as long as the script runs.
scratch=
# Those to measure.
peers=(ours ext4 zram null pinned)
# The process of each mounted daemon, ext4's loop device, and the number of ext4's zram device, by peer.
declare -A pid=() loop=() zram=()
# The processor of `pinned`.
processor=

open_scratch() {
  scratch=$(mktemp -d /dev/shm/varve-bench.XXXXXX) || fail 1 "no folder in /dev/shm: a tmpfs is needed there"
  trap close_scratch EXIT
  trap 'exit 130' INT TERM HUP
  processor=$(taskset --cpu-list --pid $$ | sed 's/.*: \([0-9]*\).*/\1/')
  can_loop || leave_out ext4 "that needs root and loop devices"
  can_zram || leave_out zram "that needs root and the kernel's module zram"
}

# leave_out PEER REASON
leave_out() {
  local peer left=()
  for peer in "${peers[@]}"; do [ "$peer" = "$1" ] || left+=("$peer"); done
  peers=("${left[@]}")
  say "no $1: $2"
}

can_loop() { [ "$(id -u)" -eq 0 ] && losetup --find >/dev/null 2>&1; }

can_zram() {
  [ "$(id -u)" -eq 0 ] || return
  [ -d /sys/class/zram-control ] || modprobe zram 2>/dev/null || return
  [ -r /sys/class/zram-control/hot_add ]
}

# on PEER COMMAND…: runs a load of a peer, where it belongs.
on() {
  if [ "$1" = pinned ]; then taskset --cpu-list "$processor" "${@:2}"; else "${@:2}"; fi
}

# Removes everything, in whatever state it is.
close_scratch() {
  local peer
  trap '' INT TERM HUP
  for peer in "${peers[@]}"; do
    ! mountpoint -q "$scratch/$peer" || detach "$scratch/$peer" 2>/dev/null || umount --lazy "$scratch/$peer" || true
    end_daemon "$peer"
    remove_device "$peer" || true
  done
  rm -rf "$scratch"
}

# start_peers SIZE: makes new filesystems of that size, and mounts them.
start_peers() {
  local peer
  for peer in "${peers[@]}"; do
    mkdir -p "$scratch/$peer"
    "start_$peer" "$1"
  done
}

stop_peers() {
  local peer
  for peer in "${peers[@]}"; do stop "$peer"; done
}

# make_image PATH SIZE: makes an image that has all its pages, as a device has all its blocks. Without that, taking pages
# from the system, which a log does wherever it goes and a filesystem that writes in place does not, would be measured.
make_image() {
  truncate --size "$2" "$1"
  dd if=/dev/zero of="$1" bs=1M count="$(($(stat --format=%s "$1") >> 20))" conv=notrunc status=none ||
    fail 1 "no room in memory for $1"
}

start_ours() {
  make_image "$scratch/ours.img" "$1"
  "$binaries/mkfs.varve" -q -K "$scratch/ours.img" || fail 1 "no Varve filesystem was made: see above"
  mount_ours "$scratch/ours.img"
}

# make_ours SIZE: makes and formats a sparse image.
make_ours() {
  rm -f "$scratch/ours.img"
  "$binaries/mkfs.varve" -q "$scratch/ours.img" "$1" || fail 1 "no Varve filesystem was made: see above"
}

# mount_ours DEVICE [OPTION…]: mounts a Varve filesystem that was made.
mount_ours() {
  local device=$1
  shift
  mkdir -p "$scratch/ours"
  start_daemon ours "$binaries/mount.varve" -F "$@" "$device" "$scratch/ours"
}

start_null() { start_daemon null "$binaries/null-daemon" "$scratch/null"; }

start_pinned() { start_daemon pinned taskset --cpu-list "$processor" "$binaries/null-daemon" "$scratch/pinned"; }

start_ext4() {
  make_image "$scratch/ext4.img" "$1"
  mkfs.ext4 -q -F -E nodiscard "$scratch/ext4.img" || fail 1 "no ext4 was made: see above"
  loop[ext4]=$(losetup --find --show "$scratch/ext4.img")
  mount "${loop[ext4]}" "$scratch/ext4" || fail 1 "ext4 was not mounted: see above"
}

start_zram() {
  zram[zram]=$(cat /sys/class/zram-control/hot_add) || fail 1 "no new zram device: see above"
  echo "$1" >"/sys/block/zram${zram[zram]}/disksize"
  mkfs.ext4 -q -E nodiscard "/dev/zram${zram[zram]}" || fail 1 "no ext4 was made on zram: see above"
  mount "/dev/zram${zram[zram]}" "$scratch/zram" || fail 1 "ext4 on zram was not mounted: see above"
}

# remove_device PEER: removes the block device under a peer that is not mounted.
remove_device() {
  if [ -n "${loop[$1]:-}" ]; then losetup --detach "${loop[$1]}" && unset "loop[$1]"; fi
  if [ -n "${zram[$1]:-}" ]; then echo "${zram[$1]}" >/sys/class/zram-control/hot_remove && unset "zram[$1]"; fi
}

# start_daemon PEER COMMAND…: runs a daemon until it has mounted.
start_daemon() {
  local peer=$1
  shift
  "$@" >"$scratch/$peer.log" 2>&1 </dev/null &
  pid[$peer]=$!
  until mountpoint -q "$scratch/$peer"; do
    is_alive "${pid[$peer]}" || { cat "$scratch/$peer.log" >&2 && fail 1 "$1 did not mount: see above"; }
    sleep 0.01
  done
}

# Whether a process runs. A zombie does not.
is_alive() {
  local state
  state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) && [ "${state:-Z}" != Z ]
}

# detach DIR: unmounts.
detach() { if [ "$(id -u)" -eq 0 ]; then umount "$1"; else fusermount3 -u "$1"; fi; }

# stop PEER: unmounts, and removes the image.
stop() {
  local peer=$1
  unmount "$peer"
  remove_device "$peer"
  rm -f "$scratch/$peer.img"
}

# unmount PEER: unmounts and waits for its daemon, whose words are shown when it had any to say.
unmount() {
  local peer=$1 tries=0
  until detach "$scratch/$peer" 2>"$scratch/umount.log"; do
    ((++tries < 50)) || { cat "$scratch/umount.log" >&2 && fail 1 "$peer is still in use"; }
    sleep 0.1
  done
  end_daemon "$peer"
}

# end_daemon PEER: waits for a daemon that has nothing mounted to leave, and kills it if it does not.
end_daemon() {
  local peer=$1 tries=0
  [ -n "${pid[$peer]:-}" ] || return 0
  while is_alive "${pid[$peer]}"; do
    ((++tries < 600)) || { say "the daemon of $peer did not leave" && kill -KILL "${pid[$peer]}"; }
    sleep 0.1
  done
  wait "${pid[$peer]}" || say "the daemon of $peer failed: $(tail -n 3 "$scratch/$peer.log")"
  unset "pid[$peer]"
}

# processor_time PEER: what the threads of its daemon have used so far, in microseconds.
processor_time() { awk '{ sum += $1 } END { print sum / 1000 }' "/proc/${pid[$1]}"/task/*/schedstat; }

# Whether a peer is a daemon.
has_daemon() { [ -n "${pid[$1]:-}" ]; }

# own_memory PEER: the memory that its daemon has to itself, in MiB: without the pages of the image that it maps.
own_memory() { awk '/^RssAnon/ { print $2 / 1024 }' "/proc/${pid[$1]}/status"; }

# forget_names PEER: has the kernel drop the names of a mount that it caches, and of a FUSE mount the attributes too.
# Does nothing without root.
forget_names() { [ "$(id -u)" -ne 0 ] || mount --internal-only -o remount "$scratch/$1"; }
