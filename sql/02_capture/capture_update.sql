-- Captures killmails that change. Old and new halves cancel out where nothing that we count changed: a new price becomes
-- one fact of weight 0, an unrelated column none at all.
-- SECURITY DEFINER: a role that may only write killmails needs no right on ours. Nothing that fails here may fail the ingest: what
-- cannot go to the ledger is kept as it is, and if that cannot be either, the cache is stale.
create or replace function entity_stats.capture_update()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms' -- somebody may hold or await the ledger for long
as $$
begin
    if not entity_stats.is_captured(tg_relid) then
        return null;
    end if;

    -- A statement of ordinary size is one row of the ledger; a bigger one streams through, a row per killmail.
    with fact as materialized (
        select
            row(
                sum(half.sign), half."killmailTime",
                half."topAttackerCharacterId", half."topAttackerCorporationId", half."topAttackerAllianceId",
                half."victimCharacterId", half."victimCorporationId", half."victimAllianceId",
                sum(half.isk), half.solo, half.npc
            )::entity_stats.fact as fact
        from (
            select
                1 as sign, n."killmailTime", n."topAttackerCharacterId", n."topAttackerCorporationId", n."topAttackerAllianceId",
                n."victimCharacterId", n."victimCorporationId", n."victimAllianceId", entity_stats.isk(n."totalValue") as isk, n.solo, n.npc
            from arrived as n
            union all
            select
                -1 as sign, o."killmailTime", o."topAttackerCharacterId", o."topAttackerCorporationId", o."topAttackerAllianceId",
                o."victimCharacterId", o."victimCorporationId", o."victimAllianceId", - entity_stats.isk(o."totalValue") as isk, o.solo, o.npc
            from gone as o
        ) as half
        where half."killmailTime" is not null -- no window has it
        group by
            half."killmailTime", half."topAttackerCharacterId", half."topAttackerCorporationId", half."topAttackerAllianceId",
            half."victimCharacterId", half."victimCorporationId", half."victimAllianceId", half.solo, half.npc
        having sum(half.sign) <> 0 or sum(half.isk) <> 0
    ),

    few as (
        select
            array_agg(f.fact) as facts,
            count(*) as killmails
        from (select fact.fact from fact limit 501) as f
    )

    insert into entity_stats.ledger (facts, killmails, reason)
    select few.facts, few.killmails, entity_stats.pending_reason()
    from few
    where few.killmails between 1 and 500
    union all
    select array[fact.fact], 1, coalesce(entity_stats.pending_reason(), 'more than 500 killmails')
    from fact
    where (select few.killmails > 500 from few);

    return null;
exception
    when others or query_canceled then
        begin
            if sqlstate = '42703' then -- a column of killmails is gone: they can be counted no more
                raise;
            end if;
            insert into entity_stats.aside (weight, killmail, reason)
            select 1, to_jsonb(n), sqlerrm from arrived as n
            union all
            select -1, to_jsonb(o), sqlerrm from gone as o;
        exception
            when others or query_canceled then
                begin
                    perform entity_stats.not_captured(sqlerrm);
                exception
                    when others or query_canceled then
                        raise warning 'entity stats cache: killmails were not captured (%)', sqlerrm;
                end;
        end;
        return null;
end
$$;

comment on function entity_stats.capture_update() is 'Statement trigger of killmails: writes the difference between updated killmails and what they were to the ledger. Never raises.';
