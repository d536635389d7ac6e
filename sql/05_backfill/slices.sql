-- All-time is read by ranges of calendar years where partitions make a year cheap to read; else a slice would read the whole table.
create or replace function entity_stats.first_year()
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set row_security = off
as $$
declare
    this_year constant integer := date_part('year', now() at time zone 'UTC');
    first_time timestamptz;
begin
    if exists (select from pg_partitioned_table as t where t.partrelid = 'public.killmails'::regclass) then
        select min(k."killmailTime") into first_time
        from entity_stats.killmail() as k
        where isfinite(k."killmailTime");
    end if;

    -- Killmails from before EVE Online are errors: the first slice has them, and slices stay small.
    return least(greatest(coalesce(date_part('year', first_time at time zone 'UTC')::integer, this_year), 2003), this_year);
end
$$;

comment on function entity_stats.first_year() is 'Year (UTC) of the first killmail of a partitioned table, 2003 at the earliest, else this year.';

-- So many years that a slice takes seconds and adds few totals of its own: about four million killmails, whose totals fit into
-- the work_mem of build_slice().
create or replace function entity_stats.years_per_slice(first_year integer)
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select greatest(1, y.years * pg_size_bytes('600 MB') / greatest(1, sum(pg_relation_size(l.leaf))))::integer
    from (select date_part('year', now() at time zone 'UTC')::integer - years_per_slice.first_year + 1 as years) as y
    cross join unnest(entity_stats.leaves()) as l (leaf)
    group by y.years;
end;

comment on function entity_stats.years_per_slice(integer) is 'How many calendar years, of those since first_year, hold about 600 MB of killmails.';

-- Characters are more than half of the work of a first build, and most of its memory. Each part reads all killmails.
create or replace function entity_stats.parts_of_characters()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select case when s.bytes < pg_size_bytes('100 MB') then 1 else 2 + s.bytes / pg_size_bytes('2 GB') end::integer
    from (select coalesce(sum(pg_relation_size(l.leaf)), 0) as bytes from unnest(entity_stats.leaves()) as l (leaf)) as s;
end;

comment on function entity_stats.parts_of_characters() is
'In how many parts a first build takes the characters: one below 100 MB of killmails (a million is 120 MB), else two, and one more for every 2 GB.';

create or replace function entity_stats.slices(first_year integer, years integer)
returns table (period text, slice integer, from_time timestamptz, to_time timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select
        w.period,
        (y.year - slices.first_year) / slices.years + 1 as slice,
        case when y.year = slices.first_year then '-infinity' else make_timestamptz(y.year, 1, 1, 0, 0, 0, 'UTC') end as from_time,
        case when y.year < y.last then make_timestamptz(y.year + slices.years, 1, 1, 0, 0, 0, 'UTC') end as to_time
    from entity_stats.time_window as w
    cross join (
        select
            g.year,
            max(g.year) over () as last
        from generate_series(slices.first_year, date_part('year', now() at time zone 'UTC')::integer, slices.years) as g (year)
    ) as y
    where w.days is null
    union all
    select
        w.period,
        1,
        w.cutoff,
        null
    from entity_stats.time_window as w
    where w.days is not null;
end;

comment on function entity_stats.slices(integer, integer) is 'Ranges of killmail times that a build reads one by one: so many years each for all-time, one range per window.';
