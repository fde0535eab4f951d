#!/bin/sh
# npm run audit:pip [-- OPTIONS]: fails where a package that a lock file pins has a known vulnerability.
set -e
cd "$(dirname "$0")/.."
python -m venv --clear .build/audit
uv pip install --quiet --python .build/audit --no-deps --only-binary :all: --require-hashes --requirement requirements/audit.txt
for locked in requirements/*.txt; do
  echo "$locked"
  .build/audit/bin/pip-audit --require-hashes --disable-pip --requirement "$locked" "$@"
done
