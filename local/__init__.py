"""What a developer's machine needs: embedded PostgreSQL, an Airflow, sample killmails. Never deployed."""

from pathlib import Path

CLONE = Path(__file__).resolve().parents[1]

#: Makes the killmails table, its generator and its CSV loader; for psql.
SAMPLE = CLONE / "local" / "sample" / "install.sql"
