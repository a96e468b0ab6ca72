"""Every benchmark, one after the other, as it is by default: what README's numbers come from."""

from __future__ import annotations

import sys

from benchmarks import imports, objects, speed, sweep

if __name__ == "__main__":
    results = []
    for each in (sweep, objects, imports, speed):
        print(f"\n## {(each.__doc__ or '').strip().splitlines()[0]}\n")
        results.append(each.main([]))
    sys.exit(max(results))
