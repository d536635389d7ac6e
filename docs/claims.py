"""docs/claims.md, from the comments on the views of sql/11_checks/."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

sys.path.append(str(ROOT / "dags"))

from entity_stats.sql import checks  # noqa: E402

SEVERITIES = {
    "fail": "Checked every night. If one does not hold, the run fails and alerts.",
    "full": "Checked by `entity_stats_verify`, weekly and by hand. If one does not hold, the run fails and alerts.",
    "warn": "Checked every night. If one does not hold, the page shows it and its task ends skipped, without an alert.",
}

HEAD = """\
# Claims

What the checks claim about the cache, why a claim may not hold, and what to do then. Each claim is a view in schema
`entity_stats` of the rows that break it; no row means that it holds. The comment on the view says what you read here:

```sql
select * from entity_stats.claims();
select * from entity_stats.windows_are_nested;
```

[sql/11_checks](../sql/11_checks) has a file for each. To claim something of your own, add a file of the same form:
a view, and a comment that begins with `fail: `, `warn: ` or `full: ` and ends with what to do. Name the file in
[sql/deploy.sql](../sql/deploy.sql), and deploy. A claim about killmails reads them through `entity_stats.killmail()` or
`entity_stats.stored_killmail()`: a view on the table itself would keep you from changing its columns. Rows that have an
`"entityId"` and an `"entityType"`, or a `month` of the history, can be repaired.
"""


def page() -> str:
    """The page's text."""
    lines = [HEAD.rstrip()]
    for severity, text in SEVERITIES.items():
        lines += ["", f"## {severity}", "", text]
        for check in checks(severity):
            meaning = check.text.replace("\nWhat to do:", "\n**What to do:**")
            lines += ["", f"### {check.claim}", "", meaning]
    return "\n".join([*lines, ""])
