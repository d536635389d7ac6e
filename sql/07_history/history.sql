-- The history: what each entity did per UTC month, for ever, and per UTC day, for as long as a site wants to keep days. A single row
-- says how far it goes. The invariant, at every commit while the cache is ready, for every day before "closedTo":
--   row of the history + late facts + pending facts = aggregate of the committed killmails of that day or month.
-- Folds never write to it. A day is closed in two steps: under the gate "historyTo" moves to its end, so that from then on folds keep its
-- facts in entity_stats.late; then one snapshot reads its killmails, and what is pending and late, and writes the difference.
create table if not exists entity_stats.history (
    single boolean primary key default true check (single),
    wanted boolean not null default false,
    "keepDays" integer not null default 400 check ("keepDays" between 1 and 10000),
    "closedTo" date,
    "daysFrom" date,
    "firstDay" date
);

insert into entity_stats.history (single)
select true
where not exists (select from entity_stats.history);

analyze entity_stats.history;

-- One partition per year, so that its index stays small. Figures of an entity are found by the primary key.
create table if not exists entity_stats.month (
    "entityId" bigint not null,
    "entityType" text collate "C" not null,
    month date not null,
    kills integer not null,
    losses integer not null,
    "iskDestroyed" numeric not null,
    "iskLost" numeric not null,
    "soloKills" integer not null,
    "soloLosses" integer not null,
    "npcKills" integer not null,
    "npcLosses" integer not null,
    primary key ("entityId", "entityType", month)
) partition by range (month);

-- One partition per month: those that are too old are dropped.
create table if not exists entity_stats.day (
    "entityId" bigint not null,
    "entityType" text collate "C" not null,
    day date not null,
    kills integer not null,
    losses integer not null,
    "iskDestroyed" numeric not null,
    "iskLost" numeric not null,
    "soloKills" integer not null,
    "soloLosses" integer not null,
    "npcKills" integer not null,
    "npcLosses" integer not null,
    primary key ("entityId", "entityType", day)
) partition by range (day);

comment on table entity_stats.history is 'How far the history goes; what it has not closed is read from killmails. Changed under lock_history() only.';
comment on column entity_stats.history.wanted is 'Whether the site keeps a history: fill_history() says yes, drop_history() no.';
comment on column entity_stats.history."keepDays" is 'How many days, at least, stay readable as rows; older ones are dropped month by month, and read from killmails.';
comment on column entity_stats.history."closedTo" is 'First day that is not closed; null: none is. Rows of that day and later mean nothing.';
comment on column entity_stats.history."daysFrom" is 'First day that has rows in entity_stats.day; the first of a month.';
comment on column entity_stats.history."firstDay" is 'Day of the first killmail when the history was filled.';
comment on table entity_stats.month is 'Figures per entity and month (ISK, UTC) as far as it is closed, without what is in entity_stats.late. No row: zeros.';
comment on column entity_stats.month.month is 'First day of the month.';
comment on table entity_stats.day is 'Figures per entity and day (ISK, UTC), without what is in entity_stats.late. No row: zeros.';
