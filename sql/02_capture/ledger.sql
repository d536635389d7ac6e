-- The ledger: what each statement changed, until it is folded into the cache. A COMMIT deletes its own rows when it folds them, so
-- whatever another session can see here is pending. part is given out when a statement captures: a deletion has a greater
-- one than the arrival that it has seen, whoever commits first.
create table if not exists entity_stats.ledger (
    part bigint primary key generated always as identity,
    xid xid8 not null default pg_current_xact_id(),
    "capturedAt" timestamptz not null default clock_timestamp(),
    killmails integer not null,
    facts entity_stats.fact[] not null,
    reason text,
    "failedAt" timestamptz,
    folded boolean not null default false,
    absorbed boolean not null default false,
    turn bigint
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

do $$
begin
    if to_regclass('entity_stats.ledger_xid') is null then
        create index ledger_xid on entity_stats.ledger (xid, part);
    end if;
end
$$;

do $$
begin
    if to_regclass('entity_stats.ledger_before') is not null then -- moved, so that it is done once
        with pending as (
            delete from entity_stats.ledger_before as b
            where not b.folded
            returning b.*
        )

        insert into entity_stats.ledger (xid, killmails, facts, reason)
        select
            p.xid,
            1,
            array[
                row(
                    p.weight, p."killmailTime", p."topAttackerCharacterId", p."topAttackerCorporationId", p."topAttackerAllianceId",
                    p."victimCharacterId", p."victimCorporationId", p."victimAllianceId", p.isk, p.solo, p.npc
                )::entity_stats.fact
            ],
            'captured by an earlier version'
        from pending as p
        order by p.fact;
    end if;
end
$$;

comment on table entity_stats.ledger is 'Signed facts of captured killmails that the cache does not contain yet, a row per statement.';
comment on column entity_stats.ledger.xid is 'Transaction that changed the killmails.';
comment on column entity_stats.ledger.killmails is 'How many facts the row has.';
comment on column entity_stats.ledger.reason is 'Why its own COMMIT does not fold it, or did not; null: it will.';
comment on column entity_stats.ledger."failedAt" is 'When a fold of it failed last.';
comment on column entity_stats.ledger.folded is 'The cache contains it already; kept only while a rebuild still needs it.';
comment on column entity_stats.ledger.absorbed is 'A running build has taken it into its staging.';
comment on column entity_stats.ledger.turn is 'How fold_at_commit() knows that it is the last: the command that wrote the row before.';
