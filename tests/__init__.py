"""Behaviour against real PostgreSQL; the folders mirror those of the project."""
