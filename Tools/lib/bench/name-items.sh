# Operations on names, and doing nothing. Sourced by Tools/bench.

measure_names() {
  local round peer threads
  start_peers $volume
  for threads in 1 4; do
    for ((round = 0; round < rounds; round++)); do
      for peer in "${peers[@]}"; do
        mkdir "$scratch/$peer/names"
        use_names create "$peer" $threads
        forget_names "$peer"
        use_names stat "$peer" $threads
        use_names write "$peer" $threads
        use_names read "$peer" $threads
        use_names rename "$peer" $threads
        on "$peer" "$binaries/bench-load" rename "$scratch/$peer/names" --threads $threads --count "$(names_each $threads)" \
          --back >/dev/null
        use_names unlink "$peer" $threads
        rm -r "$scratch/$peer/names"
      done
    done
  done
  stop_peers
}

# use_names ACTION PEER THREADS
use_names() {
  local before each
  each=$(names_each "$3")
  before=$(processor_time_if_any "$2")
  sample "$1-$3" "$2" "$(on "$2" "$binaries/bench-load" "$1" "$scratch/$2/names" --threads "$3" --count "$each")"
  sample_processor "$1-$3" "$2" "$before" $(($3 * each))
}

# names_each THREADS: the files of each thread.
names_each() { echo $((($([ -n "$quick" ] && echo 8000 || echo 40000)) / $1)); }

measure_list() {
  local names
  names=$([ -n "$quick" ] && echo 20000 || echo 100000)
  start_peers $volume
  each_peer fill_directory "$names"
  in_rounds list
  stop_peers
}

# fill_directory COUNT PEER
fill_directory() {
  mkdir "$scratch/$2/list"
  "$binaries/bench-load" create "$scratch/$2/list" --count "$1" >/dev/null
}

list() {
  forget_names "$1"
  sample list "$1" "$(on "$1" "$binaries/bench-load" list "$scratch/$1/list")"
}

measure_tree() {
  tar --create --file "$scratch/tree.tar" --directory / usr/include 2>/dev/null
  start_peers $volume
  in_rounds tree
  stop_peers
  rm -f "$scratch/tree.tar"
}

tree() {
  sample tree-unpack "$1" "$(seconds on "$1" tar --extract --file "$scratch/tree.tar" --directory "$scratch/$1")"
  sample tree-remove "$1" "$(seconds on "$1" rm -r "$scratch/$1/usr")"
}

measure_idle() {
  local round before wait=10
  [ -z "$quick" ] || wait=5
  start_ours $volume
  echo something >"$scratch/ours/file"
  # Until what was just done is committed.
  sleep 6
  for ((round = 0; round < rounds; round++)); do
    before=$(processor_time ours)
    sleep $wait
    # Microseconds in $wait seconds, in percent.
    sample idle ours "$(divide "$(subtract "$(processor_time ours)" "$before")" $((wait * 10000)))"
  done
  stop ours
}
