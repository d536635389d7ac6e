-- The one rule of when a window is out of date, by the clock of whoever asks: a night may be two hours late.
create or replace function entity_stats.overdue_windows(as_of timestamptz default now())
returns table (period text, cutoff timestamptz, behind interval)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select
        w.period,
        w.cutoff,
        entity_stats.cutoff_at(overdue_windows.as_of, w.days) - w.cutoff as behind
    from entity_stats.time_window as w
    where
        w.cutoff < entity_stats.cutoff_at(overdue_windows.as_of, w.days) - interval '26 hours'
        or w.cutoff > entity_stats.cutoff_at(now(), w.days);
end;

comment on function entity_stats.overdue_windows(timestamptz) is
'Windows that begin more than 26 hours earlier than their days before as_of (default: now), because no cleanup has moved them, or later than their days before now; behind: by how much.';

-- For whoever looks often: a night that was missed is an error, whatever did not run.
create or replace function entity_stats.require_fresh_windows()
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    status record;
begin
    select s.* into status from entity_stats.status() as s;
    if status.status = 'ready' and not status.rebuilding and exists (select from entity_stats.overdue_windows()) then
        raise exception '%', status.explanation using errcode = 'object_not_in_prerequisite_state';
    end if;
end
$$;

comment on function entity_stats.require_fresh_windows() is
'Raises object_not_in_prerequisite_state (55000) when the cache is ready and a window is overdue, unless a rebuild is running, during which they do not move.';
