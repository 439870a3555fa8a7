#!/usr/bin/env bash
# Installs the real agents, at the versions that the tests are written for, into the directory named by $1.
#
#   tests/install-agents.sh DIR && SAMESESSION_TEST_TOOLS=DIR cargo test
#
# Does nothing, and uses no network, if they are there. Needs Node and npm: Codex is started by a Node script.
set -euo pipefail

claude=2.1.329
codex=0.169.0
tries=4

die() { echo "install-agents: $*" >&2; exit 1; }

[ $# -eq 1 ] && [ -n "$1" ] || { echo "usage: install-agents.sh DIR" >&2; exit 2; }
for program in node npm; do
  command -v "$program" >/dev/null || die "$program is not installed; the agents come from the npm registry"
done
mkdir -p "$1"
dir=$(cd "$1" && pwd)
bin=$dir/node_modules/.bin

# Asks the programs and not the package files: a package without its binary for this platform looks complete, too.
# Codex writes into its home even then, so it is given one that goes away again.
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
says() { env -i HOME="$home" PATH="$PATH" "$bin/$1" --version </dev/null 2>/dev/null || true; }
complete() {
  [ "$(says claude)" = "$claude (Claude Code)" ] && [ "$(says codex)" = "codex-cli $codex" ]
}

complete && exit 0

try=1
until npm install --prefix "$dir" --save-exact --no-audit --no-fund --no-progress --loglevel=error \
  "@anthropic-ai/claude-code@$claude" "@openai/codex@$codex"; do
  [ "$try" -lt "$tries" ] || die "npm failed $tries times"
  echo "install-agents: npm failed, trying again in $((try * 5)) seconds" >&2
  sleep "$((try * 5))"
  try=$((try + 1))
done

# npm may have been told not to run the packages' scripts; this one puts Claude Code's binary into its place.
if [ "$(says claude)" != "$claude (Claude Code)" ]; then
  node "$dir/node_modules/@anthropic-ai/claude-code/install.cjs" >&2
fi

complete || die "installed, but claude says '$(says claude)' and codex says '$(says codex)'"
