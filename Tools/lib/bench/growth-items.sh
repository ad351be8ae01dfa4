# What many files cost: an image of 1 TiB, a directory of 10,000 and one of 1,000,000. Sourced by Tools/bench.

measure_growth() {
  local many=1000000
  [ -z "$quick" ] || { many=100000 && say "growth: $many files instead of 1,000,000"; }
  make_ours 1T
  mount_ours "$scratch/ours.img"
  mkdir "$scratch/ours/small" "$scratch/ours/large"
  "$binaries/bench-load" create "$scratch/ours/small" --count 10000 >/dev/null
  "$binaries/bench-load" create "$scratch/ours/large" --count $many >/dev/null
  measure_creates
  sample growth-memory ours "$(own_memory ours)"
  measure_mounts
  stop ours
}

# Creates in both directories by turns, and removes what it made.
measure_creates() {
  local round small large
  for ((round = 0; round < rounds; round++)); do
    small=$(create_more small)
    large=$(create_more large)
    sample growth-create-small ours "$small"
    sample growth-create-large ours "$large"
    sample growth-create-cost ours "$(divide "${small:-0}" "${large:-0}")"
  done
}

create_more() {
  "$binaries/bench-load" create "$scratch/ours/$1" --count 5000 --prefix more
  "$binaries/bench-load" unlink "$scratch/ours/$1" --count 5000 --prefix more >/dev/null
}

measure_mounts() {
  local round
  for ((round = 0; round < rounds; round++)); do
    unmount ours
    time_mount clean
    # Something for the mount to replay.
    create_more large >/dev/null
    kill -KILL "${pid[ours]}"
    wait "${pid[ours]}" 2>/dev/null || true
    unset "pid[ours]"
    detach "$scratch/ours"
    time_mount killed
  done
}

# time_mount AFTER: how long it takes until the mount is usable, in seconds.
time_mount() {
  local start=$EPOCHREALTIME
  mount_ours "$scratch/ours.img"
  sample "growth-mount-$1" ours "$(subtract "$EPOCHREALTIME" "$start")"
}
