#!/usr/bin/env bash
# Seeds the mistakes of mutants.tsv into a copy of the sources, one at a time, and says which of them the quick part of
# the tests notices: `./dev mutants [NAME...]`. Each line is a name, a file, a text that stands in it once, and what
# takes its place, with tabs between. Fails if a mistake is not noticed, or cannot be seeded.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
list=$root/tests/mutants.tsv
scratch=${SEQUOR_MUTANTS:-${TMPDIR:-/tmp}/sequor-mutants}
# The tests that are asked, the quickest first; the others only if those notice nothing.
stages=(differential sets rare order engine_memory saved life)
helpers=(generate harness many naive stepwise)

export CARGO_TARGET_DIR=$scratch/target CARGO_PROFILE_DEV_DEBUG=0
export SEQUOR_CASES=${SEQUOR_CASES:-1500} SEQUOR_NO_SHRINK=1 RUST_BACKTRACE=0

# Puts a file into the copy. One that does not differ keeps its time, and is not built again.
replace() {
  cmp -s "$1" "$scratch/copy/$2" && return
  mkdir -p "$scratch/copy/$(dirname "$2")"
  cp "$1" "$scratch/copy/$2"
}

# Brings the copy to what the sources are.
refresh() {
  mkdir -p "$scratch/copy"
  (cd "$root" && git ls-files -z --cached --others --exclude-standard -- src tests examples benches Cargo.lock rust-toolchain.toml) |
    while IFS= read -r -d '' file; do
      [ -f "$root/$file" ] || continue
      [ "$file" = tests/it/main.rs ] || replace "$root/$file" "$file"
    done
  # Only the library and these tests are built.
  rm -f "$scratch/copy/src/main.rs"
  sed -e '/^\[\[bin\]\]/,/^$/d' -e '/^default-run/d' "$root/Cargo.toml" >"$scratch/Cargo.toml"
  {
    echo '#![allow(clippy::unwrap_used)]'
    printf 'mod %s;\n' "${stages[@]}" "${helpers[@]}"
  } >"$scratch/main.rs"
  replace "$scratch/Cargo.toml" Cargo.toml
  replace "$scratch/main.rs" tests/it/main.rs
}

run_tests() {
  local stage
  for stage in "${stages[@]}"; do
    (cd "$scratch/copy" && timeout 300 cargo test --quiet --locked --test it -- "$stage::") >"$scratch/log" 2>&1 || return 1
  done
}

refresh
echo "without a mistake ..."
run_tests || { tail -n 40 "$scratch/log"; echo "the tests fail as it is: nothing to learn from mistakes" >&2; exit 1; }

caught=0 seeded=0 bad=()
while IFS=$'\t' read -r name file find replace; do
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  seeded=$((seeded + 1))
  text=$(<"$root/$file")
  without=${text//"$find"/}
  if [ $((${#text} - ${#without})) -ne ${#find} ]; then
    echo "BAD       $name: its text does not stand once in $file"
    bad+=("$name")
    continue
  fi
  printf '%s\n' "${text/"$find"/"$replace"}" >"$scratch/copy/$file"
  if ! (cd "$scratch/copy" && cargo test --quiet --locked --test it --no-run) >"$scratch/log" 2>&1; then
    echo "BAD       $name: does not build"
    grep -m 3 '^error' "$scratch/log" || true
    bad+=("$name")
  elif run_tests; then
    echo "SURVIVED  $name"
    bad+=("$name")
  else
    caught=$((caught + 1))
    echo "caught    $name  ($(grep -m 1 -o '^    [a-z_]*::[a-z_:]*$' "$scratch/log" | tr -d ' ' || echo "no end"))"
  fi
  replace "$root/$file" "$file"
done <"$list"

echo "$caught of $seeded caught"
[ ${#bad[@]} -eq 0 ]
