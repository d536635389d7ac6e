-- The home of everything internal. What other systems call lives in schema public.
create schema if not exists entity_stats;

comment on schema entity_stats is 'Internals of the entity stats cache: ledger, windows, state, runs and checks.';
