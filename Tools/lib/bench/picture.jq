# The picture of README.md (SVG): for each measure the peers' bars, as parts of the longest.

include "shown";

def text($x; $y; $anchor; $content):
  "<text x=\"\($x | round)\" y=\"\($y | round)\" text-anchor=\"\($anchor)\">\($content | @html)</text>";

def bar($y; $length; $colour):
  "<rect x=\"270\" y=\"\($y)\" width=\"\($length * 10 | round / 10)\" height=\"9\" fill=\"\($colour)\"/>";

[rows] as $rows
| (peers | length) as $count
| ($count * 11 + 12) as $step
| (44 + ($rows | length) * $step + 24) as $height
| "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 \($height)\" font-family=\"sans-serif\" font-size=\"11\">",
  "<title>Varve beside its peers: one thread, more is better</title>",
  "<rect width=\"760\" height=\"\($height)\" fill=\"white\"/>",
  (peers | to_entries[] | "<rect x=\"\(20 + .key * 185)\" y=\"14\" width=\"12\" height=\"12\" fill=\"\(.value[2])\"/>",
    text(38 + .key * 185; 24; "start"; .value[1])),
  ($rows | to_entries[] | .value as $row | (44 + .key * $step) as $top
    | ($row.figures | map(. // 0) | max) as $most
    | text(260; $top + $count * 11 / 2 + 4; "end"; $row.words),
      (peers | to_entries[] | select($row.figures[.key]) | ($row.figures[.key] / $most * 390) as $length
        | ($top + .key * 11) as $y
        | bar($y; $length; .value[2]),
          text(276 + $length; $y + 9; "start"; "\($row.figures[.key] | grouped) \($row.unit)"))),
  text(20; $height - 10; "start"; machine),
  "</svg>"
