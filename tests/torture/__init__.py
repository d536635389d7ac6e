"""The torture: whatever a site does to its database, no ingest fails because of the cache, and nothing in it is wrong.

`world` is the site, `writers`, `site`, `maintenance` and `faults` are what acts on it at once, `judgement` is what follows.
Only public names of the cache are used, and the judges call nothing of it.
"""
