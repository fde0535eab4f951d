#!/bin/sh
# The first thing each npm script runs: finds a Python that will do and becomes toolchain.py.
cd "${0%/*}/.." || exit 1
# Prints what is wrong with a Python, in words that one of any age understands.
probe='
import sys
wrong = sys.version_info < (3, 11) and "is too old"
try:
    import ensurepip, venv
except ImportError:
    wrong = wrong or "lacks venv (Debian, Ubuntu: apt install python3-venv)"
if wrong:
    sys.stdout.write("%d.%d.%d (%s) %s" % (tuple(sys.version_info[:3]) + (sys.executable, wrong)))
'
if [ "$PYTHON_BIN" ]; then
  wrong=$("$PYTHON_BIN" -c "$probe" 2>/dev/null) || wrong="it does not start"
  [ "$wrong" ] || exec "$PYTHON_BIN" scripts/toolchain.py "$@"
  echo "PYTHON_BIN is $PYTHON_BIN: $wrong. Python 3.11 or newer with venv is needed." >&2
  exit 1
fi
[ -x .venv/bin/python ] && exec .venv/bin/python scripts/toolchain.py "$@"
unfit=
for python in python3.14 python3 python python3.13 python3.12 python3.11; do # first that of the functions
  wrong=$("$python" -c "$probe" 2>/dev/null) || continue
  [ "$wrong" ] || exec "$python" scripts/toolchain.py "$@"
  unfit="$unfit${unfit:+; }$wrong"
done
if [ "$unfit" ]; then unfit=": $unfit"; else unfit=", and no Python is on the PATH"; fi
echo "Python 3.11 or newer with venv is needed$unfit." >&2
exit 1
