"""The whole system on one machine, with nothing to install beforehand: embedded PostgreSQL, real Airflow."""
