-- The ledger: one signed row per captured killmail, waiting to be folded into the cache. Capture inserts, the fold takes.
-- The primary key doubles as the index by transaction; a separate CREATE INDEX would lock the ledger at every redeploy.
create table if not exists entity_stats.ledger (
    xid xid8 not null default pg_current_xact_id(),
    fact bigint not null generated always as identity,
    weight integer not null,
    "killmailTime" timestamptz not null,
    "topAttackerCharacterId" bigint not null,
    "topAttackerCorporationId" bigint not null,
    "topAttackerAllianceId" bigint not null,
    "victimCharacterId" bigint not null,
    "victimCorporationId" bigint not null,
    "victimAllianceId" bigint not null,
    isk numeric not null,
    solo boolean not null,
    npc boolean not null,
    folded boolean not null default false,
    absorbed boolean not null default false,
    primary key (xid, fact)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

comment on table entity_stats.ledger is 'Signed facts of captured killmails that the cache does not contain yet.';
comment on column entity_stats.ledger.xid is 'Transaction that changed the killmail.';
comment on column entity_stats.ledger.weight is '1: a killmail came, -1: it went, 0: only its ISK changed.';
comment on column entity_stats.ledger.isk is 'Signed ISK: what the killmail adds to the sums.';
comment on column entity_stats.ledger.folded is 'The cache contains it already; kept only while a rebuild still needs it.';
comment on column entity_stats.ledger.absorbed is 'A running build has taken it into its staging.';
