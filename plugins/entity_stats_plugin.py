"""Adds the page of the entity stats cache to the Airflow UI: an entry in Browse, and a tab on DAGs and runs.

Airflow offers tabs of plugins on every DAG; on one that is not of this project the page says so and shows the cache
all the same. Every Airflow process loads plugins, tasks included: the page itself is imported by the API server only.

Why not one of `react_apps`: it would spare the frame, and cost a build with Node, a bundle to carry, an API of our own
between page and database, and a new build whenever Airflow's React moves on; and an entity would have no address
outside the UI. Why no charting library: bars and lines are a few lines of SVG, which need no script, no download, and
are drawn in the page's own colours.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

URL = "/entity-stats"
NAME = "Entity stats cache"


class EntityStatsPlugin(AirflowPlugin):
    """The page and where the UI links it."""

    name = "entity_stats"
    external_views = [  # noqa: RUF012 - declared so by the base class
        {
            "name": NAME,
            "href": f"{URL}/",
            "destination": "nav",
            "category": "browse",
            "url_route": "entity-stats",
        },
        {
            "name": NAME,
            "href": f"{URL}/?dag_id={{DAG_ID}}",
            "destination": "dag",
            "url_route": "entity-stats-dag",
        },
        {
            "name": NAME,
            "href": f"{URL}/?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "entity-stats-run",
        },
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The page's application, made when the API server asks for it."""
        from entity_stats_page.app import app

        return [{"app": app, "url_prefix": URL, "name": NAME}]
