-- Each window and the moment it was last aged to: what "as of" means on a page.
create or replace function entity_stats.windows()
returns table (period text, days integer, cutoff timestamptz, "asOf" timestamptz)
language sql stable
begin atomic
    select w.period, w.days, w.cutoff, w.cutoff + w.days * interval '24 hours' as "asOf"
    from entity_stats.time_window as w
    where
        w.days is not null
        and exists (select 1 from entity_stats.state as s where s."asOf" is not null)
    order by w.bit;
end;

comment on function entity_stats.windows() is
'The windows 90d, 30d and 14d: where each begins, and the time from which its days were last counted back. No row before the first backfill.';
