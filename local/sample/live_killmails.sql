-- Killmails for live writers: each call has ids of its own, whoever else calls at the same time.
create sequence if not exists sample.live_batch;

comment on sequence sample.live_batch is 'Numbers the calls of sample.live_killmails(); each has a million ids.';

create or replace function sample.live_killmails(
    rows bigint,
    from_time timestamptz default now() - interval '1 day',
    to_time timestamptz default now(),
    seed bigint default 1
)
returns setof public.killmails
language plpgsql
set search_path = pg_catalog
as $$
begin
    if rows is null or rows not between 0 and 1000000 then
        raise exception 'rows must be from 0 to 1000000, not %', rows using errcode = 'invalid_parameter_value';
    end if;
    if from_time is null or to_time is null or not from_time < to_time then
        raise exception 'from_time must be before to_time: % and %', from_time, to_time using errcode = 'invalid_parameter_value';
    end if;
    -- Far above the ids that any seed begins with.
    return query
    select k.*
    from sample.killmails(rows, from_time, to_time, seed, 1000000000000000 + 1000000 * nextval('sample.live_batch')) as k;
end;
$$;

revoke all on function sample.live_killmails(bigint, timestamptz, timestamptz, bigint) from public;
comment on function sample.live_killmails(bigint, timestamptz, timestamptz, bigint) is
'That many killmails with fresh ids, for insert into public.killmails select * from sample.live_killmails(20); not inserted.';
