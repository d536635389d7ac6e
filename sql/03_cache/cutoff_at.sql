-- The only arithmetic of windows.
create or replace function entity_stats.cutoff_at(as_of timestamptz, days integer)
returns timestamptz
language sql immutable
return as_of - days * interval '24 hours';

comment on function entity_stats.cutoff_at(timestamptz, integer) is
'as_of minus that many days of 24 hours: a calendar day would depend on the session''s time zone.';
