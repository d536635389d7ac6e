"""The suite runs, at a size that shows nothing but that it does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from benchmarks import filling, history, report, repricing, soak
from benchmarks.__main__ import main


def test_the_suite_runs_and_reports(tmp_path: Path) -> None:
    sizes = {"rows": 2000, "feed": 1000, "rounds": 1, "seconds": 0, "clients": 2, "bulk": 1000}
    options = [f"--{name}={size}" for name, size in sizes.items()]
    main([*options, "--no-durable", f"--output={tmp_path}"])
    results = json.loads((tmp_path / "benchmarks" / "results.json").read_text())
    measured = {figure["what"] for figure in results["figures"]}
    assert {"single-row insert, 1 client", "backfill of 2,000 killmails"} <= measured
    assert all(
        variant["median"] > 0
        for figure in results["figures"]
        if figure["unit"] in ("transactions/s", "ms", "s")
        for variant in figure["variants"].values()
    )
    page = (tmp_path / "performance.md").read_text()
    assert "| single-row insert, 1 client: median | row-trigger | at most 1 | 0.85 |" in page
    assert "| failed transactions |  | at most 0 |  | 0 | met |" in page
    assert "| single-row insert, 1 client | ours |" in page
    wishes = page.partition("## The specification's wishes")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\| .* \|$", wishes, re.MULTILINE)) == 1 + len(report.WISHES)
    assert "not yet" not in wishes, "each wish has its figure"
    soak.main(["1", "--rows=2000", f"--output={tmp_path}"])
    history.main(["2000", "--seconds=0", "--rounds=1", f"--output={tmp_path}"])
    assert "- history: measured by itself" in (tmp_path / "performance.md").read_text()
    filling.main(["3000", f"--output={tmp_path}"])
    repricing.main(["2500", f"--output={tmp_path}"])
    page = (tmp_path / "performance.md").read_text()
    assert "| backfill of 3,000 killmails | ours |" in page
    assert "| repricing of 2,500 killmails | ours |" in page
    assert "| soak, 500 killmails/s for 1 s: p99 | last tenth |" in page
    assert "| single-row insert, 1 client | ours |" in page
    report.renew(results, tmp_path)
    renewed = (tmp_path / "performance.md").read_text()
    assert "| backfill of 3,000 killmails | ours |" in renewed, "what was measured by itself stays"
    assert "- repricing: measured by itself" in renewed
    assert "- history: measured by itself" not in renewed, "what was measured anew is of the new machine"
    assert (tmp_path / "benchmarks" / "write_path.svg").read_text().startswith("<svg")
