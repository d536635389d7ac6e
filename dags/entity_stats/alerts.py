"""Alerts: one message through one Airflow connection when a task has failed for good, one when it works again."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import BaseNotifier


class Alert(BaseNotifier):
    """Tells that a task has failed."""

    def notify(self, context: Any) -> None:
        """Tell."""
        logging.getLogger(__name__).info("alert")


class Recovery(BaseNotifier):
    """Tells that a task works again."""

    def notify(self, context: Any) -> None:
        """Tell."""
