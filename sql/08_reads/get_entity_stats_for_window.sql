-- Any length of time, straight from killmails by index: the last hour, day, week.
create or replace function public.get_entity_stats_for_window(entity_id bigint, entity_type text, length interval)
returns setof entity_stats.stats
language plpgsql stable security definer rows 1 -- readers have no right on killmails
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_custom_plan -- with the values in the plan, indexes of few partitions answer
as $$
declare
    bit constant integer := entity_stats.period_bit(entity_type, 'all');
    since constant timestamptz := (now() at time zone 'UTC' - length) at time zone 'UTC'; -- a value in the plan: only the partitions that it reaches are planned
    unindexed constant text := (
        select string_agg(quote_ident(needed.name), ', ')
        from unnest(array['topAttacker' || initcap(entity_type) || 'Id', 'victim' || initcap(entity_type) || 'Id']) as needed (name)
        where not exists (
            select
            from pg_index as i
            inner join pg_attribute as a on i.indrelid = a.attrelid and a.attnum = i.indkey[0]
            where i.indrelid = 'public.killmails'::regclass and i.indisvalid and i.indpred is null and a.attname = needed.name
        )
    );
begin
    if length is null or length <= interval '0' then
        raise exception 'the length of a window must be positive, not %', coalesce(length::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Pass an interval such as ''24 hours''.';
    elsif unindexed is not null then
        raise warning 'killmails has no index that begins with %: this read scans the table', unindexed
            using hint =
                'create index on public.killmails ('
                || replace(unindexed, ', ', ', "killmailTime"); create index on public.killmails (') || ', "killmailTime");';
    end if;

    return query
    select s.*
    from entity_stats.totals(since, null) as t
    cross join lateral entity_stats.stats(
        row(
            t."entityType", t."entityId", bit, t.kills, t.losses, t."iskDestroyed", t."iskLost",
            t."soloKills", t."soloLosses", t."npcKills", t."npcLosses", t."lastKillTime", t."lastLossTime", null, null
        )::entity_stats.delta
    ) as s
    where t."entityId" = entity_id and t."entityType" = entity_type;
end
$$;

revoke execute on function public.get_entity_stats_for_window(bigint, text, interval) from public;

comment on function public.get_entity_stats_for_window(bigint, text, interval) is
'Stats of one entity in the last length of time (any interval), exact, straight from killmails; last times are those within it. No row: no killmail in it. Warns which index of killmails is missing.';
