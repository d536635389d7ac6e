"""What the DAGs share: defaults, SQL lookup, operators, alerts.

Start with the DAG files beside this package; each is wiring and documentation. All state is in PostgreSQL: a task may
be retried, cleared or run on any worker.
"""
