-- A killboard's killmails for development and tests: the table, its partitions and its indexes. Never deployed to a real site.
create schema if not exists sample;

comment on schema sample is 'Development only: a killmails table, its generator and its CSV loader.';

create table if not exists public.killmails (
    "killmailId" bigint not null,
    "killmailTime" timestamptz not null,
    "solarSystemId" bigint,
    "victimCharacterId" bigint,
    "victimCorporationId" bigint,
    "victimAllianceId" bigint,
    "victimShipTypeId" bigint,
    "topAttackerCharacterId" bigint,
    "topAttackerCorporationId" bigint,
    "topAttackerAllianceId" bigint,
    "topAttackerShipTypeId" bigint,
    "totalValue" real,
    "attackerCount" integer,
    npc boolean,
    solo boolean,
    awox boolean,
    primary key ("killmailId", "killmailTime")
) partition by range ("killmailTime");

comment on table public.killmails is 'Development killmails, one row per ship or structure destroyed.';

create table if not exists public.killmails_default partition of public.killmails default;

comment on table public.killmails_default is 'Killmails of times that have no partition of their own.';

create index if not exists killmails_time
on public.killmails ("killmailTime");
create index if not exists killmails_victim_character
on public.killmails ("victimCharacterId", "killmailTime");
create index if not exists killmails_victim_corporation
on public.killmails ("victimCorporationId", "killmailTime");
create index if not exists killmails_victim_alliance
on public.killmails ("victimAllianceId", "killmailTime");
create index if not exists killmails_attacker_character
on public.killmails ("topAttackerCharacterId", "killmailTime");
create index if not exists killmails_attacker_corporation
on public.killmails ("topAttackerCorporationId", "killmailTime");
create index if not exists killmails_attacker_alliance
on public.killmails ("topAttackerAllianceId", "killmailTime");

-- Creates nothing, and so locks nothing, where a partition exists. Rows of the default partition stay there, because moving
-- them would look to capture like deletes and inserts: their month or year gets no partition.
create or replace function sample.create_partitions(from_time timestamptz, to_time timestamptz)
returns integer
language plpgsql
set search_path = pg_catalog
set timezone = 'UTC'
as $$
declare
    created integer := 0;
    part record;
begin
    if from_time is null or to_time is null or not isfinite(from_time) or not isfinite(to_time) then
        raise exception 'partitions need a finite range of times, not % to %', from_time, to_time
            using errcode = 'invalid_parameter_value';
    end if;
    for part in
        select distinct
            'killmails_' || to_char(m.month, case when m.yearly then 'YYYY' else 'YYYY_MM' end) as name,
            case when m.yearly then date_trunc('year', m.month) else m.month end as first_time,
            case when m.yearly then date_trunc('year', m.month) + interval '1 year' else m.month + interval '1 month' end as end_time
        from (
            select
                s.month,
                s.month < '2025-01-01' as yearly
            from generate_series(date_trunc('month', from_time), to_time, interval '1 month') as s (month)
            where s.month < to_time
        ) as m
        order by first_time
    loop
        continue when to_regclass(format('public.%I', part.name)) is not null;
        if exists (
            select
            from public.killmails_default as d
            where d."killmailTime" >= part.first_time and d."killmailTime" < part.end_time
        ) then
            raise notice 'partition % is not created: killmails_default holds rows of its range', part.name;
            continue;
        end if;
        execute format(
            'create table if not exists public.%I partition of public.killmails for values from (%L) to (%L)',
            part.name, part.first_time, part.end_time
        );
        execute format(
            'comment on table public.%I is %L',
            part.name, format('Killmails from %s to %s (UTC).', part.first_time::date, part.end_time::date)
        );
        created := created + 1;
    end loop;
    return created;
end;
$$;

revoke all on function sample.create_partitions(timestamptz, timestamptz) from public;
comment on function sample.create_partitions(timestamptz, timestamptz) is
'Creates the missing partitions of public.killmails from from_time to before to_time, by year before 2025, by month since; returns how many.';

-- Three months ahead, as a killboard's own maintenance would have it.
select sample.create_partitions('2007-01-01 00:00:00+00', now() + interval '3 months') as partitions_created;
