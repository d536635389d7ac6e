-- Exact ISK of a killmail's value, whatever type the site keeps it in: the only rounding in the project.
create or replace function entity_stats.isk(value double precision)
returns numeric
language sql immutable parallel safe
return
case
    when value is null or value in ('NaN'::double precision, 'Infinity', '-Infinity') then 0
    else round(value::numeric, 2)
end;

create or replace function entity_stats.isk(value numeric)
returns numeric
language sql immutable parallel safe
return
case
    when value is null or value in ('NaN'::numeric, 'Infinity', '-Infinity') then 0
    else round(value, 2)
end;

comment on function entity_stats.isk(double precision) is
'Exact value in ISK, two decimals, of a REAL or DOUBLE PRECISION value; 0 for null and non-finite values.';
comment on function entity_stats.isk(numeric) is
'Exact value in ISK, two decimals, of a NUMERIC value; 0 for null and non-finite values.';
