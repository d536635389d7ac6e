-- The first kill and the first loss of an entity. Its months say in which month to look; there an index of killmails answers.
create or replace function public.get_entity_first_times(entity_id bigint, entity_type text)
returns table ("firstKillTime" timestamp, "firstLossTime" timestamp)
language plpgsql stable security definer rows 1 -- readers have no right on the history and on killmails
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_custom_plan
as $$
declare
    bit constant integer := entity_stats.period_bit(entity_type, 'all'); -- raises for an unknown type
    closed_to constant date := entity_stats.closed_to();
    kill_month date;
    loss_month date;
    kill_from timestamptz;
    kill_end timestamptz;
    loss_from timestamptz;
    loss_end timestamptz;
begin
    select min(m.month) filter (where m.kills > 0), min(m.month) filter (where m.losses > 0) into kill_month, loss_month
    from (
        select
            c.date as month,
            sum(c.kills) as kills,
            sum(c.losses) as losses
        from entity_stats.closed_history(array[entity_id], entity_type, 'month', '-infinity', closed_to) as c
        group by c.date
    ) as m;

    kill_from := entity_stats.midnight(coalesce(kill_month, closed_to));
    kill_end := case when isfinite(kill_month) then entity_stats.midnight((kill_month + interval '1 month')::date) end;
    loss_from := entity_stats.midnight(coalesce(loss_month, closed_to));
    loss_end := case when isfinite(loss_month) then entity_stats.midnight((loss_month + interval '1 month')::date) end;

    return query
    select k.first, l.loss
    from (
        select min(p."killmailTime") at time zone 'UTC' as first
        from entity_stats.killmail_party() as p
        where
            p."entityType" = entity_type
            and p."entityId" = entity_id
            and p.attacker
            and p."killmailTime" >= kill_from
            and (kill_end is null or p."killmailTime" < kill_end)
    ) as k
    cross join (
        select min(q."killmailTime") at time zone 'UTC'
        from entity_stats.killmail_party() as q
        where
            q."entityType" = entity_type
            and q."entityId" = entity_id
            and not q.attacker
            and q."killmailTime" >= loss_from
            and (loss_end is null or q."killmailTime" < loss_end)
    ) as l (loss)
    where k.first is not null or l.loss is not null;
end
$$;

revoke execute on function public.get_entity_first_times(bigint, text) from public;

comment on function public.get_entity_first_times(bigint, text) is
'First kill and first loss of one entity, UTC; null: none. No row: unknown entity.';
