#!/usr/bin/env bash
# Sends a live server what openapi.yaml allows and what it forbids: no answer may be a 5xx, nor differ from its description.
# Skipped, with the reason, where schemathesis is not there and cannot be installed. Arguments go to schemathesis.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap '[[ -z ${server:-} ]] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

if command -v st >/dev/null 2>&1; then
  st=st
else
  st=target/schemathesis/bin/st
  if [[ ! -x $st ]]; then
    if ! { python3 -m venv target/schemathesis && target/schemathesis/bin/pip install --quiet 'schemathesis>=4,<5'; } >"$work/install" 2>&1; then
      echo "skipped: schemathesis cannot be installed: $(tail -n 1 "$work/install")"
      exit 0
    fi
  fi
fi

cargo build --quiet
target/debug/sequor serve --listen 127.0.0.1:0 --data "$work/data" >"$work/out" 2>"$work/log" &
server=$!
for _ in $(seq 300); do
  url=$(sed -n 's/^listening on //p' "$work/out")
  [[ -z $url ]] || break
  sleep 0.1
done
[[ -n $url ]] || { cat "$work/log" >&2; exit 1; }

# Most routes are about a pattern that is there.
curl --silent --fail --output /dev/null -H 'content-type: text/plain' \
  -d 'pattern p match a: a followed by b: b within 10s' "$url/v1/patterns"
cat >"$work/schemathesis.toml" <<'TOML'
[parameters]
"path.name" = "p"
"path.stream" = "events"
"path.version" = 1
"path.sequence" = 0
TOML

# What a text of a pattern may hold is beyond any schema, and so is which of two states a service is in: these checks would
# have every refusal declared as an input that no schema can forbid.
"$st" --config-file "$work/schemathesis.toml" run openapi.yaml --url "$url" --seed 1 --max-examples "${EXAMPLES:-50}" --no-color \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method \
  "$@"
