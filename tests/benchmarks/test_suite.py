"""The suite runs, at a size that shows nothing but that it does."""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks.__main__ import main


def test_the_suite_runs_and_reports(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    sizes = {"rows": 2000, "feed": 1000, "rounds": 1, "seconds": 0, "clients": 2, "bulk": 1000, "soak": 1}
    options = [f"--{name}={size}" for name, size in sizes.items()]
    main([*options, "--no-durable", f"--output={tmp_path}", f"--page={page}"])
    results = json.loads((tmp_path / "results.json").read_text())
    measured = {figure["what"] for figure in results["figures"]}
    assert {"single-row insert, 1 client", "backfill of 2,000 killmails"} <= measured
    assert all(
        variant["median"] > 0
        for figure in results["figures"]
        if figure["unit"] in ("transactions/s", "ms", "s")
        for variant in figure["variants"].values()
    )
    assert "| backfill of 2,000 killmails | four-phases | at most 0.333 |" in page.read_text()
    assert "| single-row insert, 1 client | ours |" in page.read_text()
    assert (tmp_path / "write_path.svg").read_text().startswith("<svg")
