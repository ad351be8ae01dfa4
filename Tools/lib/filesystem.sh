# A filesystem to try things on: what the mount tests and the long proofs share. Sourced after common.sh, never run.
# Needs root, /dev/fuse and the commands on PATH. $image is the device, $mnt the mount point, $work a folder that goes
# when the script ends.

# make_work [FOLDER]: makes the working folder, in FOLDER or where temporary files go.
make_work() {
  work=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/varve-work.XXXXXX")
  image=$work/disk.img
  mnt=$work/mnt
  mkdir "$mnt"
  trap leave_work EXIT
}

leave_work() {
  umount -l "$mnt" 2>/dev/null || true
  local process
  for process in $(daemon_of "$image"); do kill -9 "$process" 2>/dev/null || true; done
  rm -rf "$work"
}

# The daemon that serves a device, if there is one.
daemon_of() {
  local file words
  for file in /proc/[0-9]*/cmdline; do
    mapfile -d '' -t words 2>/dev/null <"$file" || continue
    [ "${#words[@]}" -gt 2 ] && [ "${words[0]##*/}" = mount.varve ] || continue
    if [[ " ${words[*]:1} " == *" $1 "* ]]; then file=${file%/cmdline} && echo "${file##*/}"; fi
  done
}

# Waits until a process has ended.
await_end() {
  local limit=$((SECONDS + 60))
  while [ -e "/proc/$1/status" ] && ! grep -q '^State:.*Z' "/proc/$1/status"; do
    [ $SECONDS -lt $limit ] || fail 1 "process $1 does not end"
    sleep 0.05
  done
}

# format [SIZE]: a new filesystem in $image.
format() {
  rm -f "$image"
  mkfs.varve -q "$image" "${1:-512M}" || fail 1 "mkfs.varve failed"
}

# attach [OPTION]…: mounts $image at $mnt; with the options of $VARVE_OPTIONS too, where that is set.
attach() {
  mount.varve "$image" "$mnt" ${VARVE_OPTIONS:+-o "$VARVE_OPTIONS"} "$@" || fail 1 "mount.varve $* failed"
}

# Unmounts and waits for the daemon. Programs that look at all mounts, as df does, keep each busy for a moment.
detach() {
  local process try
  process=$(daemon_of "$image")
  for try in {1..50}; do
    umount "$mnt" 2>"$work/umount" && break
    [ "$try" -lt 50 ] || fail 1 "$(cat "$work/umount")"
    sleep 0.1
  done
  [ -z "$process" ] || await_end "$process"
}

# serve IMAGE SOCKET: serves an image over vfio-user and waits until it can be reached; `server` is the process.
serve() {
  # What a former one said is not to be taken for this one's.
  rm -f "$work/served"
  varve serve "$1" --socket "$2" >"$work/served" 2>&1 &
  server=$!
  local limit=$((SECONDS + 20))
  until grep -qs '^serving' "$work/served"; do
    [ $SECONDS -lt $limit ] || fail 1 "varve serve does not begin: $(cat "$work/served")"
    sleep 0.05
  done
}

# The filesystem is without a fault.
check() { fsck.varve -n -f "$image" >"$work/fsck" 2>&1 || { cat "$work/fsck" && fail 1 "fsck.varve found faults"; }; }
