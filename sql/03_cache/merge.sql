-- Applies facts and deltas of any age. What counts in the same periods goes in one upsert; where there are several such upserts, the
-- rows are locked first, all of them in the one order.
create or replace function entity_stats.merge(
    facts entity_stats.fact[] default '{}', deltas entity_stats.delta[] default '{}', verify boolean default false
)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    band record;
    bands integer [];
    written bigint := 0;
begin
    select array_agg(b.periods) into bands
    from (
        select
            1
            + (f."killmailTime" >= s."cutoff90d")::integer * 2
            + (f."killmailTime" >= s."cutoff30d")::integer * 4
            + (f."killmailTime" >= s."cutoff14d")::integer * 8 as periods
        from unnest(facts) as f
        cross join entity_stats.state as s
        union
        select d.periods from unnest(deltas) as d
    ) as b;

    if cardinality(bands) > 1 then
        insert into public.entity_stats_cache as c ("entityId", "entityType")
        select e."entityId", e."entityType"
        from (
            select p."entityId", p."entityType" from entity_stats.parties(facts) as p
            union
            select d."entityId", d."entityType" from unnest(deltas) as d
        ) as e
        order by e."entityType" collate "C" desc, e."entityId"
        on conflict ("entityId", "entityType") do update set "updatedAt" = c."updatedAt" where false;
    end if;

    for band in
        select
            b.periods,
            coalesce(max(w.cutoff) filter (where b.periods & w.bit <> 0), '-infinity') as from_time,
            min(w.cutoff) filter (where b.periods & w.bit = 0) as to_time
        from unnest(bands) as b (periods)
        cross join entity_stats.time_window as w
        where w.days is not null
        group by b.periods
    loop
        -- Of deltas each says itself where it counts: no fact is within the range of periods that it does not have.
        written := written + entity_stats.add(
            case when band.periods & 1 = 0 then '{}' else facts end, deltas, band.periods, band.from_time, band.to_time
        );
    end loop;

    -- The newest killmail of an entity went: look for the one before it. A new statement, because only now are the rows
    -- locked: what was committed until here is seen, what comes later waits for us and raises the time itself.
    if verify or cardinality(deltas) > 0 or (select min(f.weight) < 0 from unnest(facts) as f) then
        with stale as materialized (
            select
                c."entityType", c."entityId", gone.attacker, gone.until,
                case when gone.attacker then c."killsAll" else c."lossesAll" end <> 0 as others
            from (
                select p."entityType", p."entityId", side.attacker, max(side.until) as until
                from entity_stats.parties(facts) as p
                cross join lateral (
                    values
                    (true, greatest(p."staleKillTime", case when verify then p."lastKillTime" end)),
                    (false, greatest(p."staleLossTime", case when verify then p."lastLossTime" end))
                ) as side (attacker, until)
                where side.until is not null
                group by p."entityType", p."entityId", side.attacker
                union all
                select d."entityType", d."entityId", side.attacker, max(side.until) as until
                from unnest(deltas) as d
                cross join lateral (values (true, d."staleKillTime"), (false, d."staleLossTime")) as side (attacker, until)
                where side.until is not null
                group by d."entityType", d."entityId", side.attacker
            ) as gone
            inner join public.entity_stats_cache as c on gone."entityId" = c."entityId" and gone."entityType" = c."entityType"
            where gone.until >= case when gone.attacker then c."lastKillTime" else c."lastLossTime" end
        ),

        latest as (
            select s."entityType", s.attacker, l."entityId", l."lastTime"
            from (
                select s."entityType", s.attacker, array_agg(s."entityId") as entities, array_agg(s.until) as until
                from stale as s
                where s.others
                group by s."entityType", s.attacker
            ) as s
            cross join lateral entity_stats.last_times(s."entityType", s.attacker, s.entities, s.until) as l
        )

        update public.entity_stats_cache as c
        set
            "lastKillTime" = case when n.kill then n."lastKillTime" else c."lastKillTime" end,
            "lastLossTime" = case when n.loss then n."lastLossTime" else c."lastLossTime" end
        from (
            select
                s."entityType",
                s."entityId",
                bool_or(s.attacker) as kill,
                bool_or(not s.attacker) as loss,
                max(l."lastTime") filter (where s.attacker) as "lastKillTime",
                max(l."lastTime") filter (where not s.attacker) as "lastLossTime"
            from stale as s
            left join latest as l on s."entityType" = l."entityType" and s."entityId" = l."entityId" and s.attacker = l.attacker
            group by s."entityType", s."entityId"
        ) as n
        where c."entityId" = n."entityId" and c."entityType" = n."entityType";
    end if;

    return written;
end
$$;

comment on function entity_stats.merge(entity_stats.fact[], entity_stats.delta[], boolean) is
'Adds facts, in the periods that the cutoffs give them, and deltas to the cache; returns how many rows it wrote. verify: a killmail of the facts may be gone again, so the times that they raise are looked up. The gate must be held; READ COMMITTED only.';
