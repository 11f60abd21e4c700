"""Write the generated pages of docs/ and the dashboard of examples/, or with --check say which of them are stale (exit code 1).

Called by `make docs` and `make check`. What a page says comes from the code alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.configuration_page import configuration_page
from scripts.coverage_page import coverage_page
from scripts.grafana_dashboard import grafana_dashboard

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
DASHBOARD = ROOT / "examples" / "grafana" / "cachefleet.json"


def pages() -> dict[Path, str]:
    return {
        DOCS / "configuration.md": configuration_page(),
        DOCS / "api-coverage.md": coverage_page(),
        DASHBOARD: grafana_dashboard(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a page is stale")
    check = parser.parse_args().check
    stale = {path: text for path, text in pages().items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        if check:
            print(f"{path.relative_to(ROOT)} is stale: run `make docs`", file=sys.stderr)
        else:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
