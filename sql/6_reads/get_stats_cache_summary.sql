-- How much the cache holds, and how fresh it is.
create or replace function public.get_stats_cache_summary()
returns table (
    characters bigint,
    corporations bigint,
    alliances bigint,
    total bigint,
    "sizeBytes" bigint,
    "sizePretty" text,
    status text,
    "asOf90d" timestamptz,
    "asOf30d" timestamptz,
    "asOf14d" timestamptz,
    pending bigint,
    "verifiedAt" timestamptz,
    "failedClaims" bigint
)
language sql stable security definer -- readers have no right on the state
set search_path = pg_catalog, pg_temp
begin atomic
    select
        e.characters,
        e.corporations,
        e.alliances,
        e.total,
        pg_total_relation_size('public.entity_stats_cache'::regclass) as "sizeBytes",
        pg_size_pretty(pg_total_relation_size('public.entity_stats_cache'::regclass)) as "sizePretty",
        s.status,
        s."cutoff90d" + 90 * interval '24 hours' as "asOf90d",
        s."cutoff30d" + 30 * interval '24 hours' as "asOf30d",
        s."cutoff14d" + 14 * interval '24 hours' as "asOf14d",
        s.pending,
        v."verifiedAt",
        v."failedClaims"
    from entity_stats.status() as s
    cross join (
        select
            count(*) filter (where c."entityType" = 'character') as characters,
            count(*) filter (where c."entityType" = 'corporation') as corporations,
            count(*) filter (where c."entityType" = 'alliance') as alliances,
            count(*) as total
        from public.entity_stats_cache as c
    ) as e
    left join lateral (
        select
            max(r."checkedAt") as "verifiedAt",
            count(*) filter (where r.offending > 0 and r.severity <> 'warn') as "failedClaims"
        from entity_stats.check_run as r
        where r.run = (select max(l.run) from entity_stats.check_run as l)
    ) as v on true;
end;

revoke execute on function public.get_stats_cache_summary() from public;

comment on function public.get_stats_cache_summary() is
'Entities per type, size, status, the time each window was last aged to (UTC), pending facts, and time and failed claims of the last verification.';
