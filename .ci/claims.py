"""Write docs/claims.md from the comments that open the files of sql/7_checks/.

.ci/claims.py          writes it
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECKS = ROOT / "sql" / "7_checks"
PAGE = ROOT / "docs" / "claims.md"

SEVERITIES = {
    "fail": "Checked every night. If one does not hold, the run fails and alerts.",
    "full": "Checked by `entity_stats_verify`, weekly and by hand. If one does not hold, the run fails and alerts.",
    "warn": "Checked every night. If one does not hold, the page shows it and its task ends skipped, without an alert.",
}


def page() -> str:
    """The page's text."""
    lines = [
        "# Claims",
        "",
        "What the checks claim about the cache, why a claim may not hold, and what to do then. Each claim is a query",
        "in [sql/7_checks](../sql/7_checks) that returns the rows that break it; no row means that it holds.",
        "`.ci/claims.py` makes this page from the comments at the top of those files.",
    ]
    for severity, text in SEVERITIES.items():
        lines += ["", f"## {severity}", "", text]
        for path in sorted((CHECKS / severity).glob("*.sql")):
            source = path.read_text(encoding="utf-8").splitlines()
            end = next((n for n, line in enumerate(source) if not line.startswith("--")), len(source))
            comment = [line.removeprefix("--").removeprefix(" ").rstrip() for line in source[:end]]
            lines += [
                "",
                f"### {path.stem}",
                "",
                *(f"**{line[:11]}**{line[11:]}" if line.startswith("What to do:") else line for line in comment),
            ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
