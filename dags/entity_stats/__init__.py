"""What the DAGs share; all state is in PostgreSQL, so that a task may be retried, cleared or run on any worker.

Start with the DAG files beside this package: each is wiring and documentation. Then, here: `parts` (what several DAGs
have in common), `operators`, `checks` and `summary` (the tasks), `hook` (sessions), `sql` (finds the files),
`defaults`, `errors`, `alerts`.
"""
