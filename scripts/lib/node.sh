# shellcheck shell=bash
# Node and the npm packages. Sourced after steps.sh.
: "${cache:?steps.sh comes first}" "${notes:?}"

# wrangler asks for Node 22.12. A system with an older one (20 will do to begin with) gets one from npm in the
# cache folder: pinned, checked by hash, found by npm for this machine's kind, and nothing in the system changes.
provide_node() {
  have node || fail "Node is missing: install Node 20 or later (nodejs.org, or your system's packages)"
  have npm || fail "npm is missing: it comes with Node (nodejs.org, or your system's packages)"
  node_is_new_enough node && return
  local wanted folder own
  wanted=$(node -p 'JSON.parse(fs.readFileSync("scripts/lib/node-22/package.json")).version')
  folder="$cache/node-$wanted"
  own=$(own_node "$folder")
  if [ -z "$own" ]; then
    mkdir -p "$folder"
    cp scripts/lib/node-22/package.json scripts/lib/node-22/package-lock.json .npmrc "$folder/"
    step "fetching Node $wanted, as the system's is $(node --version)" \
      npm ci --prefix "$folder" --no-progress
    own=$(own_node "$folder")
  fi
  [ -n "$own" ] || fail "npm has no Node 22 for this machine: install Node 22.12 or later"
  PATH="$own:$PATH"
  export PATH
}

node_is_new_enough() {
  "$1" -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 12) ? 0 : 1)' 2>/dev/null
}

# The folder of the Node that stands in the given one and runs here.
own_node() {
  local node
  for node in "$1"/node_modules/node-*/bin/node; do
    if [ -x "$node" ] && node_is_new_enough "$node"; then
      dirname "$node"
      return
    fi
  done
}

# npm ci, when the lock is another than the one installed last, or another system's packages stand there.
provide_packages() {
  local stamp=node_modules/.postern-lock wanted
  wanted="$(cksum <package-lock.json) $(uname -sm)"
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return
  step "installing the npm packages" npm ci --no-progress
  printf '%s\n' "$wanted" >"$stamp"
}

# Neither usage statistics nor questions, and no request for a Cloudflare-like `cf` object at each start.
export WRANGLER_SEND_METRICS=false CLOUDFLARE_CF_FETCH_ENABLED=false WRANGLER_LOG_PATH="$notes/wrangler-logs"
# Nor a trace of every request on disk.
export X_LOCAL_OBSERVABILITY=false
