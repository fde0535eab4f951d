"""Random histories for a while: of the runtime, or with `--system` of all services in a simulated AWS.

npm run soak -- --minutes 5
npm run soak -- --system --minutes 5
"""

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HARNESS = ROOT / "libs" / "stream_runtime" / "tests" / "harness"

if __name__ == "__main__":
    if "--system" in sys.argv:
        sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "simulation"), str(HARNESS)]
        runpy.run_module("simulator", run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(str(HARNESS), run_name="__main__")
