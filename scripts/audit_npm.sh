#!/bin/sh
# npm run audit:npm: fails where a package that a lock file pins has a known vulnerability.
set -e
cd "$(dirname "$0")/.."
for locked in package-lock.json benchmarks/*/package-lock.json tests/*/package-lock.json; do
  echo "$locked"
  npm --prefix "$(dirname "$locked")" audit --audit-level=moderate
done
