-- Loads lines of a CSV file of killmails: good lines are inserted once, bad lines get a reason. local/load_csv.py feeds it.
create or replace function sample.csv_column()
returns table (
    "position" integer,
    name text,
    required boolean,
    expected text,
    pattern text
)
language sql immutable parallel safe
begin atomic
    -- The patterns admit nothing that the columns' types would refuse, except for a day that its month does not have.
    select
        v."position",
        v.name,
        v.required,
        f.expected,
        f.pattern
    from (
        values
        (1, 'killmailId', true, 'id'),
        (2, 'killmailTime', true, 'time'),
        (3, 'solarSystemId', false, 'id'),
        (4, 'victimCharacterId', false, 'id'),
        (5, 'victimCorporationId', false, 'id'),
        (6, 'victimAllianceId', false, 'id'),
        (7, 'victimShipTypeId', false, 'id'),
        (8, 'topAttackerCharacterId', false, 'id'),
        (9, 'topAttackerCorporationId', false, 'id'),
        (10, 'topAttackerAllianceId', false, 'id'),
        (11, 'topAttackerShipTypeId', false, 'id'),
        (12, 'totalValue', false, 'value'),
        (13, 'attackerCount', false, 'count'),
        (14, 'npc', false, 'flag'),
        (15, 'solo', false, 'flag')
    ) as v ("position", name, required, format)
    inner join (
        values
        ('id', 'a whole number of up to 18 digits', '^[0-9]{1,18}$'),
        ('count', 'a whole number of up to 9 digits', '^[0-9]{1,9}$'),
        ('value', 'a number like 10000.00', '^[0-9]{1,15}([.][0-9]{1,10})?([eE][+-]?[01]?[0-9])?$'),
        ('flag', 'true or false', '^(true|false)$'),
        (
            'time',
            'a UTC time like 2021-11-27T00:00:00Z',
            '^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?Z$'
        )
    ) as f (format, expected, pattern) on v.format = f.format;
end;

revoke all on function sample.csv_column() from public;
comment on function sample.csv_column() is 'The columns of a CSV file of killmails, in their order, and what their values look like.';

create or replace function sample.stage_killmails()
returns void
language plpgsql
set search_path = pg_catalog
as $$
begin
    create temporary table killmail_line (
        line bigint primary key,
        fields text[],
        reason text
    ) on commit drop;
end;
$$;

revoke all on function sample.stage_killmails() from public;
comment on function sample.stage_killmails() is
'Makes pg_temp.killmail_line, to which the lines of one file are copied: number, fields (null: not CSV), reason to refuse it.';

create or replace function sample.load_killmails(out lines bigint, out inserted bigint, out known bigint, out bad bigint)
language plpgsql
set search_path = pg_catalog
set timezone = 'UTC'
as $$
declare
    month record;
begin
    analyze pg_temp.killmail_line;

    update pg_temp.killmail_line as l
    set
        reason = case
            when l.fields is null then 'not readable as CSV'
            else format('%s columns instead of %s', cardinality(l.fields), c.columns)
        end
    from (select count(*) as columns from sample.csv_column()) as c
    where cardinality(l.fields) is distinct from c.columns;

    update pg_temp.killmail_line as l
    set reason = p.reason
    from (
        select
            s.line,
            string_agg(
                format(
                    '%s is %s: %s expected',
                    c.name, case f.value when '' then 'empty' else quote_literal(left(f.value, 40)) end, c.expected
                ),
                '; ' order by c."position"
            ) as reason
        from pg_temp.killmail_line as s
        cross join unnest(s.fields) with ordinality as f (value, "position")
        inner join sample.csv_column() as c on f."position" = c."position"
        where
            s.reason is null
            and case
                when f.value = '' then c.required
                when f.value !~ c.pattern then true
                when c.name = 'killmailTime'
                    then to_char((left(f.value, 8) || '01')::date + substr(f.value, 9, 2)::integer - 1, 'YYYY-MM-DD') <> left(f.value, 10)
                else false
            end
        group by s.line
    ) as p
    where l.line = p.line;

    update pg_temp.killmail_line as l
    set reason = format('killmailId %s is on line %s already', l.fields[1], d.first_line)
    from (
        select
            s.line,
            min(s.line) over (partition by s.fields[1]::bigint) as first_line
        from pg_temp.killmail_line as s
        where s.reason is null
    ) as d
    where l.line = d.line and d.line > d.first_line;

    -- The primary key holds the time too: it would let the same killmail in twice.
    update pg_temp.killmail_line as l
    set reason = format('killmailId %s is in the table with another time: %s', l.fields[1], k."killmailTime")
    from public.killmails as k
    where
        l.reason is null
        and k."killmailId" = case when l.reason is null then l.fields[1]::bigint end
        and k."killmailTime" <> case when l.reason is null then l.fields[2]::timestamptz end;

    for month in
        select distinct date_trunc('month', l.fields[2]::timestamptz) as first_time
        from pg_temp.killmail_line as l
        where l.reason is null
    loop
        perform sample.create_partitions(month.first_time, month.first_time + interval '1 day');
    end loop;

    insert into public.killmails (
        "killmailId",
        "killmailTime",
        "solarSystemId",
        "victimCharacterId",
        "victimCorporationId",
        "victimAllianceId",
        "victimShipTypeId",
        "topAttackerCharacterId",
        "topAttackerCorporationId",
        "topAttackerAllianceId",
        "topAttackerShipTypeId",
        "totalValue",
        "attackerCount",
        npc,
        solo,
        awox
    )
    select
        l.fields[1]::bigint,
        l.fields[2]::timestamptz,
        nullif(l.fields[3], '')::bigint,
        nullif(l.fields[4], '')::bigint,
        nullif(l.fields[5], '')::bigint,
        nullif(l.fields[6], '')::bigint,
        nullif(l.fields[7], '')::bigint,
        nullif(l.fields[8], '')::bigint,
        nullif(l.fields[9], '')::bigint,
        nullif(l.fields[10], '')::bigint,
        nullif(l.fields[11], '')::bigint,
        nullif(l.fields[12], '')::real,
        nullif(l.fields[13], '')::integer,
        nullif(l.fields[14], '')::boolean,
        nullif(l.fields[15], '')::boolean,
        false
    from pg_temp.killmail_line as l
    where l.reason is null
    order by l.line
    on conflict do nothing;
    get diagnostics inserted = row_count;

    select
        count(*),
        count(*) filter (where l.reason is null) - inserted,
        count(l.reason)
    into lines, known, bad
    from pg_temp.killmail_line as l;
end;
$$;

revoke all on function sample.load_killmails() from public;
comment on function sample.load_killmails() is
'Inserts the good lines of pg_temp.killmail_line that are not known yet, and notes why the bad ones are refused.';
