"""What a judge finds, line by line, and its verdict as an exit code."""

import sys


class Checks:
    """Collects checks; `finish` prints the count that tests/run adds up and ends the process."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, name, holds, detail=""):
        """One check. `detail` is shown when it does not hold."""
        if holds:
            self.passed += 1
            print(f"ok      {name}")
        else:
            self.failed += 1
            print(f"FAILED  {name}: {detail}")
        return holds

    def finish(self):
        print(f"checks: {self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(0 if self.failed == 0 and self.passed > 0 else 1)
