# shellcheck shell=bash
# A Chromium for the tests of pages. Sourced after steps.sh and node.sh.
: "${cache:?steps.sh comes first}"

# The system's, wherever it has one; else Debian's own package where this is Debian and may install; else the one that
# Playwright fetches for this machine, kept in the cache folder.
provide_browser() {
  local name
  if [ -n "${CHROMIUM_BIN:-}" ]; then
    [ -x "$CHROMIUM_BIN" ] || fail "CHROMIUM_BIN names no program: $CHROMIUM_BIN"
    return
  fi
  for name in chromium chromium-browser google-chrome; do
    have "$name" && CHROMIUM_BIN=$(command -v "$name") && break
  done
  if [ -z "${CHROMIUM_BIN:-}" ] && have apt-get && [ "$(id -u)" = 0 ]; then
    step "installing Chromium" debian_chromium
    have chromium && CHROMIUM_BIN=$(command -v chromium)
  fi
  if [ -z "${CHROMIUM_BIN:-}" ]; then
    export PLAYWRIGHT_BROWSERS_PATH="$cache/browsers"
    step "fetching Chromium" npx playwright-core install chromium-headless-shell
    CHROMIUM_BIN=$(find "$PLAYWRIGHT_BROWSERS_PATH" -type f -name 'headless_shell' -o -type f -name 'chrome-headless-shell' | head -n 1)
  fi
  [ -n "$CHROMIUM_BIN" ] || fail "no Chromium: install one, or name it in CHROMIUM_BIN"
  export CHROMIUM_BIN
}

debian_chromium() {
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium
}
