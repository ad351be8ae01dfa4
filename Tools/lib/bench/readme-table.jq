# The table of README.md.

include "shown";

"| | | \([peers[] | .[1]] | join(" | ")) |",
"|---|---|\([peers[] | "---:"] | join("|"))|",
(rows | "| \(.words) | \(.unit) | \(.figures | map(grouped) | join(" | ")) |"),
"",
machine + "."
