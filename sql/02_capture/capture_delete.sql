-- Captures killmails that go: DELETE, the old half of a move between partitions.
-- SECURITY DEFINER: a role that may only write killmails needs no right on ours. Nothing that fails here may fail the ingest: what
-- cannot go to the ledger is kept as it is, and if that cannot be either, the cache is stale.
create or replace function entity_stats.capture_delete()
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
    with fact as not materialized (
        select
            row(
                -1, o."killmailTime",
                o."topAttackerCharacterId", o."topAttackerCorporationId", o."topAttackerAllianceId",
                o."victimCharacterId", o."victimCorporationId", o."victimAllianceId",
                - entity_stats.isk(o."totalValue"), o.solo, o.npc
            )::entity_stats.fact as fact
        from gone as o
        where o."killmailTime" is not null -- no window has it
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

comment on function entity_stats.capture_delete() is 'Statement trigger of killmails: writes deleted killmails to the ledger, negative. Never raises.';
