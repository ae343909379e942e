# shellcheck shell=bash
# How a script speaks and how it ends: one line for a step that begins and one for its time, one line for what is
# missing, and nothing left running when it is stopped. Sourced; bash 3.2 will do.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1
notes="${POSTERN_NOTES:-$root/.postern}" # what runs where, logs of long steps; never committed
cache="${POSTERN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/postern}" # what several checkouts share: tools, Node
export root notes cache
running="" # the process of the step that is under way
log=""     # and what it says

# All that a script says about its own work goes to stderr: stdout belongs to results.
say() { printf '%s\n' "$*" >&2; }

fail() {
  say "${0##*/}: $*"
  exit 1
}

# The comment at the top of the script is its help.
help_from_header() {
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$1"
}

# What `fail` says about an argument that the script does not know.
unknown() { fail "does not know '$1'; --help lists what it knows"; }

have() { command -v "$1" >/dev/null 2>&1; }

# A process and all that it started, one a line.
tree_of() {
  local child
  printf '%s\n' "$1"
  for child in $(ps -axo pid=,ppid= | awk -v parent="$1" '$2 == parent { print $1 }'); do
    tree_of "$child"
  done
}

stopped() {
  trap - INT TERM HUP
  # shellcheck disable=SC2046 # one word each
  [ -z "$running" ] || kill $(tree_of "$running") 2>/dev/null || true
  rm -f "$log"
  exit "$1"
}
trap 'stopped 130' INT
trap 'stopped 143' TERM
trap 'stopped 129' HUP

# watched COMMAND…: the command's status, but a signal to this script reaches the command too. (bash alone would
# wait for the command to end before it looked at the signal.)
watched() {
  local status=0
  "$@" <&0 &
  running=$!
  wait "$running" || status=$?
  running=""
  return "$status"
}

# step TEXT COMMAND…: runs what takes long and whose output matters only when it fails. Says that it began, every
# ten seconds that it goes on, and how long it took.
step() {
  local text=$1 began status=0 tick
  shift
  mkdir -p "$notes"
  log=$(mktemp "$notes/step.XXXXXX")
  began=$SECONDS
  say "$text …"
  "$@" >"$log" 2>&1 </dev/null &
  running=$!
  tick=$((began + 10))
  while kill -0 "$running" 2>/dev/null; do
    if [ "$SECONDS" -ge "$tick" ]; then
      say "  $((SECONDS - began)) s: $(last_line "$log")"
      tick=$((SECONDS + 10))
    fi
    sleep 0.2
  done
  wait "$running" || status=$?
  running=""
  if [ "$status" -ne 0 ]; then
    tail -n 200 "$log" >&2
    rm -f "$log"
    fail "failed after $((SECONDS - began)) s: $text"
  fi
  rm -f "$log"
  say "  done in $((SECONDS - began)) s"
}

last_line() {
  tr '\r' '\n' <"$1" | sed -e $'s/\033\\[[0-9;]*[A-Za-z]//g' | awk 'NF { line = $0 } END { print substr(line, 1, 100) }'
}
