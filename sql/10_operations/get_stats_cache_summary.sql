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
    "failedClaims" bigint,
    verdict text,
    explanation text
)
language sql stable security definer -- readers have no right on the state
set search_path = pg_catalog, pg_temp
set jit = off
begin atomic
    select
        e.characters,
        e.corporations,
        e.alliances,
        e.total,
        pg_total_relation_size('public.entity_stats_cache'::regclass) as "sizeBytes",
        pg_size_pretty(pg_total_relation_size('public.entity_stats_cache'::regclass)) as "sizePretty",
        s.status,
        w."asOf90d",
        w."asOf30d",
        w."asOf14d",
        s.pending,
        v."verifiedAt",
        v."failedClaims",
        s.verdict,
        s.explanation
    from entity_stats.status() as s
    cross join (
        select
            count(*) filter (where c."entityType" = 'character') as characters,
            count(*) filter (where c."entityType" = 'corporation') as corporations,
            count(*) filter (where c."entityType" = 'alliance') as alliances,
            count(*) as total
        from public.entity_stats_cache as c
    ) as e
    cross join (
        select
            max(t."asOf") filter (where t.period = '90d') as "asOf90d",
            max(t."asOf") filter (where t.period = '30d') as "asOf30d",
            max(t."asOf") filter (where t.period = '14d') as "asOf14d"
        from entity_stats.windows() as t
    ) as w
    cross join (
        select
            max(r."checkedAt") as "verifiedAt",
            count(*) filter (where r.offending > 0 and r.severity <> 'warn') + case when count(*) = 0 then null else 0 end as "failedClaims"
        from entity_stats.verification() as r
    ) as v;
end;

revoke execute on function public.get_stats_cache_summary() from public;

comment on function public.get_stats_cache_summary() is
'Entities per type, size, status, the time each window was last aged to (null before the first backfill), pending facts, time and failed claims of the last verification (null: none); verdict (right, suspect, stale, building, empty) and why. Counts the cache: not for every page.';
