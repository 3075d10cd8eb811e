#!/usr/bin/env bash
# Runs every line of expected.txt through Maude and compares the verdicts. One line each; 1 if any differs.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
grep -vE '^(#|$)' expected.txt >"$work/rows"
while read -r _ variant scenario property; do
    echo "search [1] world($variant, $scenario) =>* W:World such that bad($property, W:World) ."
done <"$work/rows" >"$work/searches.maude"
(ulimit -t 150; exec maude -no-banner vfy1.maude "$work/searches.maude" </dev/null >"$work/out" 2>&1) \
    || { echo "Maude used more than 150 s of processor time, or failed:" >&2; tail -5 "$work/out" >&2; exit 1; }
if grep -q '^Warning\|^Advisory' "$work/out"; then
    echo "Maude does not accept the model:" >&2; grep -A2 '^Warning\|^Advisory' "$work/out" >&2; exit 1
fi
awk '/^No solution/ { found = "no" } /^Solution 1/ { found = "yes" } /^states:/ { print found, $2 }' "$work/out" >"$work/verdicts"
[ "$(wc -l <"$work/rows")" -eq "$(wc -l <"$work/verdicts")" ] || { echo "Maude answered not every search" >&2; exit 1; }
paste -d' ' "$work/rows" "$work/verdicts" | tr -s ' ' | awk '
    { is = $5 == "no" ? ($1 == "reached" ? "unreachable" : "holds") : ($1 == "reached" ? "reached" : "attack")
      right = is == $1; wrong += !right
      printf "%-11s %-17s %-16s %-10s %6d states  %s\n", is, $2, $3, $4, $6, right ? "as expected" : "EXPECTED " $1 }
    END { print wrong ? wrong " verdicts differ" : NR " verdicts, all as expected"; exit wrong > 0 }'
