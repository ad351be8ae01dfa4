# Reading and writing files. Sourced by Tools/bench.

# The size of the filesystems, and of the file that is read and written.
volume=4G
file_size=512M

# run_fio PEER RW BLOCK [OPTION…]: runs a load on the peer's file, and prints operations a second, bytes a second and
# the number of operations. It goes on for $duration seconds, or over the whole file when that is not set.
run_fio() {
  local peer=$1 rw=$2 block=$3 time=()
  shift 3
  [ -z "${duration:-}" ] || time=(--time_based --runtime="$duration")
  on "$peer" fio --name=bench --buffer_pattern=0xaaaaaaaa --filename="$scratch/$peer/file" --size=$file_size --rw="$rw" --bs="$block" --randrepeat=0 \
    --norandommap --group_reporting --output-format=json "${time[@]}" "$@" 2>"$scratch/fio.log" |
    jq --raw-output '.jobs[0] | (.read, .write) | select(.total_ios > 0) | "\(.iops) \(.bw_bytes) \(.total_ios)"' ||
    tail -n 3 "$scratch/fio.log" >&2
}

# Writes the whole file, so that reads find data and writes replace some.
lay_out() { run_fio "$1" write 1M --direct=1 --end_fsync=1 >/dev/null; }

seconds_each() { [ -n "$quick" ] && echo 1 || echo 3; }

measure_sequential() {
  start_peers $volume
  each_peer lay_out
  in_rounds sequential write-direct write --direct=1
  in_rounds sequential read-direct read --direct=1
  in_rounds sequential write-buffered write --direct=0 --end_fsync=1
  in_rounds sequential read-buffered read --direct=0
  stop_peers
}

# sequential NAME RW OPTION… PEER: direct ones go over the file for a time, buffered ones once.
sequential() {
  local measure=sequential-$1 rw=$2 peer=${*: -1} result before duration=
  shift 2
  [[ $measure != *-direct ]] || duration=$(seconds_each)
  # A buffered write is of a new file, as cp's.
  [ "$measure" != sequential-write-buffered ] || rm -f "$scratch/$peer/file"
  before=$(processor_time_if_any "$peer")
  read -ra result < <(run_fio "$peer" "$rw" 1M --ioengine=psync "${@:1:$#-1}") || true
  sample "$measure" "$peer" "$(megabytes "${result[1]:-}")"
  sample_processor "$measure" "$peer" "$before" "${result[2]:-0}"
}

megabytes() { [ -z "$1" ] || divide "$1" 1000000; }

measure_random() {
  local rw
  start_peers $volume
  each_peer lay_out
  for rw in read write; do
    in_rounds random $rw 1 --ioengine=psync
    [ -n "$quick" ] || in_rounds random $rw 4 --ioengine=psync --numjobs=4
    in_rounds random $rw q32 --ioengine=io_uring --iodepth=32
  done
  stop_peers
}

# random RW NAME OPTION… PEER
random() {
  local measure=random-$1-$2 rw=rand$1 peer=${*: -1} result before duration
  duration=$(seconds_each)
  shift 2
  before=$(processor_time_if_any "$peer")
  read -ra result < <(run_fio "$peer" "$rw" 4k --direct=1 "${@:1:$#-1}") || true
  sample "$measure" "$peer" "${result[0]:-}"
  sample_processor "$measure" "$peer" "$before" "${result[2]:-0}"
}

processor_time_if_any() { ! has_daemon "$1" || processor_time "$1"; }

# sample_processor MEASURE PEER BEFORE OPERATIONS: what the daemon used for each since it had used BEFORE, where that
# is of interest. Nothing for a peer without one.
sample_processor() {
  has_daemon "$2" && grep -q "^$1-daemon " "$root/Tools/lib/bench/measures" || return 0
  sample "$1-daemon" "$2" "$(divide "$(subtract "$(processor_time "$2")" "$3")" "$4")"
}

measure_overlap() {
  local round one many duration
  duration=$(seconds_each)
  make_ours $volume
  mount_ours "emulated:$scratch/ours.img?latency=80us"
  (unset duration && lay_out ours)
  for ((round = 0; round < rounds; round++)); do
    read -ra one < <(run_fio ours randread 4k --direct=1 --ioengine=libaio --iodepth=1) || true
    read -ra many < <(run_fio ours randread 4k --direct=1 --ioengine=libaio --iodepth=32) || true
    sample overlap-1 ours "${one[0]:-}"
    sample overlap-32 ours "${many[0]:-}"
    sample overlap-gain ours "$(divide "${many[0]:-0}" "${one[0]:-0}")"
  done
  stop ours
}

# One user alone, and beside another who writes as fast as the device takes it.
measure_users() {
  local round beside stream duration file_size=64M
  [ "$(id -u)" -eq 0 ] || { say "skipped: only root can be several users" && return; }
  duration=$(seconds_each)
  make_ours $volume
  mount_ours "emulated:$scratch/ours.img?latency=80us&bandwidth=600M"
  chmod 711 "$scratch"
  chmod 1777 "$scratch/ours"
  (unset duration && lay_out ours) && chmod 666 "$scratch/ours/file"
  for ((round = 0; round < rounds; round++)); do
    for beside in alone beside; do
      if [ $beside = beside ]; then
        as_user 2001 fio --name=stream --filename="$scratch/ours/stream" --size=1G --rw=write --bs=1M --direct=1 \
          --ioengine=libaio --iodepth=32 --time_based --runtime=60 >"$scratch/stream.log" 2>&1 &
        stream=$!
        until [ "$(stat --format=%s "$scratch/ours/stream" 2>/dev/null || echo 0)" -gt 0 ]; do sleep 0.1; done
        sleep 1
      fi
      sample "users-fsync-$beside" ours "$(user_latency sync.lat_ns --rw=randwrite --fsync=1)"
      sample "users-read-$beside" ours "$(user_latency read.clat_ns --rw=randread --direct=1)"
      [ $beside = alone ] || { pkill -u 2001 fio && wait "$stream" || true; }
    done
  done
  rm -f "$scratch/ours/stream"
  stop ours
}

as_user() {
  local user=$1
  shift
  (cd / && exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@")
}

# user_latency FIGURE OPTION…: the median of a user's small requests, 200 a second, in milliseconds.
user_latency() {
  local figure=$1
  shift
  as_user 2002 fio --name=user --filename="$scratch/ours/file" --size=$file_size --bs=4k --thinktime=5ms \
    --time_based --runtime="$duration" --output-format=json "$@" 2>"$scratch/fio.log" |
    jq ".jobs[0].$figure.percentile.\"50.000000\" / 1e6" || tail -n 3 "$scratch/fio.log" >&2
}

measure_sync() {
  start_peers $volume
  in_rounds sync_writes
  stop_peers
}

sync_writes() {
  local before count
  count=$([ -n "$quick" ] && echo 1000 || echo 5000)
  before=$(processor_time_if_any "$1")
  sample sync "$1" "$(on "$1" "$binaries/bench-load" sync "$scratch/$1/file" --count "$count")"
  sample_processor sync "$1" "$before" "$count"
}

measure_memory() {
  local cache file_size=4G
  for cache in 64M 256M; do
    make_ours 6G
    mount_ours "$scratch/ours.img" -o "cache=$cache"
    run_fio ours write 1M --direct=0 >/dev/null
    run_fio ours read 1M --direct=1 >/dev/null
    duration=2 run_fio ours randwrite 4k --direct=1 --ioengine=libaio --iodepth=32 >/dev/null
    sample "memory-$cache" ours "$(own_memory ours)"
    stop ours
  done
}
