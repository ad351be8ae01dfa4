# What the tests of mounted filesystems share. Sourced, never run. Needs the commands on PATH.

source "$(dirname "${BASH_SOURCE[0]}")/../../Tools/lib/common.sh"

if [ "$(id -u)" != 0 ] || [ ! -c /dev/fuse ]; then
  echo "needs root and /dev/fuse"
  exit 77
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/varve-mount.XXXXXX")
image=$work/disk.img
mnt=$work/mnt
mkdir "$mnt"

cleanup() {
  umount -l "$mnt" 2>/dev/null || true
  local process
  for process in $(daemon_of "$image"); do kill -9 "$process" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

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

# attach [OPTION]…: mounts $image at $mnt.
attach() { mount.varve "$image" "$mnt" "$@" || fail 1 "mount.varve $* failed"; }

# Unmounts and waits for the daemon.
detach() {
  local process
  process=$(daemon_of "$image")
  umount "$mnt"
  [ -z "$process" ] || await_end "$process"
}

# The filesystem is without a fault.
check() { fsck.varve -n -f "$image" >"$work/fsck" 2>&1 || { cat "$work/fsck" && fail 1 "fsck.varve found faults"; }; }

# is WHAT WANTED FOUND: two strings are the same.
is() { [ "$2" = "$3" ] || fail 1 "$1: '$3' instead of '$2'"; }

# refuses STATUS TEXT COMMAND…: a command fails with that status and one line that holds the text.
refuses() {
  local status=0 wanted=$1 text=$2
  shift 2
  "$@" >"$work/said" 2>&1 </dev/null || status=$?
  [ "$status" -eq "$wanted" ] || { cat "$work/said" && fail 1 "status $status instead of $wanted: $*"; }
  grep -qi -- "$text" "$work/said" || { cat "$work/said" && fail 1 "does not say '$text': $*"; }
  # Beside the line that says what is waited for.
  [ "$(grep -vc "waiting for it" "$work/said")" -eq 1 ] || { cat "$work/said" && fail 1 "says more than one line: $*"; }
}
