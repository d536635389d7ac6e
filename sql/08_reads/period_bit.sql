-- Arguments of the read API, checked in one place.
create or replace function entity_stats.period_bit(entity_type text, period text)
returns integer
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    bit constant integer := (select w.bit from entity_stats.time_window as w where w.period = period_bit.period);
begin
    if entity_type is null or entity_type not in ('character', 'corporation', 'alliance') then
        raise exception 'unknown entity type: %', coalesce(entity_type, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Entity types are character, corporation and alliance.';
    elsif bit is null then
        raise exception 'unknown period: %', coalesce(period, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Periods are all, 90d, 30d and 14d.';
    end if;

    return bit;
end
$$;

comment on function entity_stats.period_bit(
    text, text
) is 'The window.bit of a period; raises for an unknown entity type or period, listing the valid ones.';
