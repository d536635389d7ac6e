-- The four periods and where each begins, as a relation. A killmail exactly on a cutoff is in the window. Made once:
-- replacing it would wait for everybody who is reading it.
do $$
begin
    if to_regclass('entity_stats.time_window') is null then
        create view entity_stats.time_window as
        select
            w.period,
            w.bit,
            w.days,
            w.cutoff
        from (values (true)) as one (single)
        left join entity_stats.state as s on one.single = s.single
        cross join
            lateral (
                values
                ('all' collate "C", 1, null::integer, '-infinity'::timestamptz), -- noqa: RF02
                ('90d', 2, 90, coalesce(s."cutoff90d", now() - 90 * interval '24 hours')), -- somebody has deleted it
                ('30d', 4, 30, coalesce(s."cutoff30d", now() - 30 * interval '24 hours')),
                ('14d', 8, 14, coalesce(s."cutoff14d", now() - 14 * interval '24 hours'))
            ) as w (period, bit, days, cutoff);
    end if;
end
$$;

comment on view entity_stats.time_window is 'Periods of the cache: all-time and the windows whose cutoffs are in entity_stats.state.';
comment on column entity_stats.time_window.bit is 'Place of the period in the bit mask of entity_stats.delta.periods.';
comment on column entity_stats.time_window.days is 'Length in days; null for all-time.';
comment on column entity_stats.time_window.cutoff is 'Killmails at or after it count in the period.';
