-- The four periods and where each begins. A killmail exactly on a cutoff is in the window.
create table if not exists entity_stats.time_window (
    period text collate "C" primary key,
    bit integer not null unique,
    days integer,
    cutoff timestamptz not null
);

insert into entity_stats.time_window (period, bit, days, cutoff)
values
    ('all', 1, null, '-infinity'),
    -- Until the first backfill the views count back from the deployment.
    ('90d', 2, 90, now() - 90 * interval '24 hours'),
    ('30d', 4, 30, now() - 30 * interval '24 hours'),
    ('14d', 8, 14, now() - 14 * interval '24 hours')
on conflict do nothing;

-- Four rows: without statistics the planner expects a thousand, and compiles plans that need none of it.
analyze entity_stats.time_window;

comment on table entity_stats.time_window is 'Periods of the cache. Cutoffs move forward by ageing only; changed under the gate.';
comment on column entity_stats.time_window.bit is 'Place of the period in the bit mask of entity_stats.delta.periods.';
comment on column entity_stats.time_window.days is 'Length in days; null for all-time.';
comment on column entity_stats.time_window.cutoff is 'Killmails at or after it count in the period.';

create or replace function entity_stats.cutoff_at(as_of timestamptz, days integer)
returns timestamptz
language sql immutable
return as_of - days * interval '24 hours';

comment on function entity_stats.cutoff_at(timestamptz, integer) is
'as_of minus that many days of 24 hours: a calendar day would depend on the session''s time zone.';
