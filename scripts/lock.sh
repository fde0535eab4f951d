#!/bin/sh
# npm run lock [-- --upgrade]: writes requirements/*.txt, which pin what requirements/*.in ask for.
# One file serves each supported Python and machine (--universal), and names neither hosts nor folders.
set -e
cd "$(dirname "$0")/../requirements"
for name in bootstrap lambda dev checkov audit; do # dev takes the versions of lambda
  uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --quiet \
    --custom-compile-command "npm run lock" --no-emit-package stream-runtime --no-emit-package stream-cli \
    "$@" "$name.in" --output-file "$name.txt"
done
