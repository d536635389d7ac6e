-- Time enters the cache as an argument only, and never from the future: a typo must not empty the windows.
create or replace function entity_stats.require_past(as_of timestamptz)
returns timestamptz
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if as_of > clock_timestamp() then
        raise exception 'as_of % lies in the future of this server''s clock (%)', as_of, clock_timestamp()
            using errcode = 'invalid_parameter_value', hint = 'A wrong year would empty the windows. Pass a time in the past.';
    end if;

    return coalesce(as_of, now());
end
$$;

comment on function entity_stats.require_past(timestamptz) is 'as_of, or now() when it is null; raises when it lies in the future.';
