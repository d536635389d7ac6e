"""The page of the entity stats cache: `app` answers requests, `report` reads the database, templates/ is the HTML."""
