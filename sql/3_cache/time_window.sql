-- The four periods and where each begins, as a relation. A killmail exactly on a cutoff is in the window.
create or replace view entity_stats.time_window as
select
    w.period,
    w.bit,
    w.days,
    w.cutoff
from entity_stats.state as s
cross join
    lateral (
        values
        ('all' collate "C", 1, null::integer, '-infinity'::timestamptz),
        ('90d', 2, 90, s."cutoff90d"),
        ('30d', 4, 30, s."cutoff30d"),
        ('14d', 8, 14, s."cutoff14d")
    ) as w (period, bit, days, cutoff);

comment on view entity_stats.time_window is 'Periods of the cache: all-time and the windows whose cutoffs are in entity_stats.state.';
comment on column entity_stats.time_window.bit is 'Place of the period in the bit mask of entity_stats.delta.periods.';
comment on column entity_stats.time_window.days is 'Length in days; null for all-time.';
comment on column entity_stats.time_window.cutoff is 'Killmails at or after it count in the period.';

create or replace function entity_stats.cutoff_at(as_of timestamptz, days integer)
returns timestamptz
language sql immutable
return as_of - days * interval '24 hours';

comment on function entity_stats.cutoff_at(timestamptz, integer) is
'as_of minus that many days of 24 hours: a calendar day would depend on the session''s time zone.';
