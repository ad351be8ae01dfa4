# What README.md shows of the results: the measures in words, all so that more is better.

def shown: [
  ["create-1", "create a file", "/s"],
  ["write-1", "open, write 3,000 bytes, close", "/s"],
  ["read-1", "open, read 3,000 bytes, close", "/s"],
  ["rename-1", "rename", "/s"],
  ["unlink-1", "unlink", "/s"],
  ["sync", "write 4 KiB and fsync", "/s"],
  ["random-read-1", "direct read of 4 KiB, one at a time", "/s"],
  ["random-read-q32", "direct read of 4 KiB, 32 at a time", "/s"],
  ["random-write-1", "direct write of 4 KiB, one at a time", "/s"],
  ["random-write-q32", "direct write of 4 KiB, 32 at a time", "/s"],
  ["sequential-read-direct", "direct read of 1 MiB", "MB/s"],
  ["sequential-write-direct", "direct write of 1 MiB", "MB/s"],
  ["sequential-read-buffered", "buffered read of 1 MiB", "MB/s"],
  ["sequential-write-buffered", "buffered write of 1 MiB", "MB/s"]
];

# The peers, with their names and colours.
def peers: [
  ["ours", "Varve", "#1b6ca8"], ["ext4", "ext4 on a loop device", "#9aa5b1"], ["zram", "ext4 on zram", "#5f6b7a"],
  ["pinned", "null daemon, pinned", "#d9a441"]
];

# A latency in microseconds is shown as a rate.
def figure($measure; $peer): $measure[$peer].median | if . and $measure.unit == "us" then 1e6 / . else . end;

# The rows: what was measured, in words, its unit, and the figures of the peers.
def rows:
  .measures as $measures
  | shown[] | . as [$name, $words, $unit]
  | ($measures[] | select(.name == $name)) as $measure
  | {words: $words, unit: $unit, figures: [peers[] | figure($measure; .[0])]};

# A number with commas between thousands.
def grouped:
  if . == null then "-" else
  round | tostring | [while(length > 0; .[:-3]) | .[-3:]] | reverse | join(",") end;

def machine: "\(.machine.processor), \(.machine.cores) processors, Linux \(.machine.kernel); median of \(.rounds) rounds, \(.date[:10])";
