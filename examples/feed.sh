#!/usr/bin/env bash
# A live feed: posts the events of examples/shop.jsonl to a running service, over and over. Their times begin a day ago and
# run about two hundred times as fast as the clock, so that what takes half an hour is seen after seconds.
# Usage: examples/feed.sh [URL]
set -euo pipefail
url=${1:-http://127.0.0.1:7878}/v1/streams/events/events
log=$(dirname "${BASH_SOURCE[0]}")/shop.jsonl
batch=20

post() {
  curl --silent --show-error --fail --retry 5 --retry-delay 1 -o /dev/null \
    -H 'content-type: application/x-ndjson' --data-binary @- "$url" <<<"$1"
}

# The first event of the log is a day old, and each round begins where the one before ended.
shift_ms=$((($(date +%s) - 86400) * 1000 - 1700000000000))
while true; do
  lines='' count=0
  while IFS= read -r line; do
    ts=${line#*\"ts\":} ts=${ts%%[,\}]*}
    lines+=${line/"\"ts\":$ts"/"\"ts\":$((ts + shift_ms))"}$'\n'
    if ((++count % batch == 0)); then
      post "${lines%$'\n'}"
      lines=''
      sleep 0.5
    fi
  done <"$log"
  ((shift_ms += ts - 1700000000000 + 1000))
done
