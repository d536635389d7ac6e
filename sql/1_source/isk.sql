-- Exact ISK of a killmail's value, whatever type the site keeps it in: the only rounding in the project.
create or replace function entity_stats.isk(value double precision)
returns numeric
language sql immutable parallel safe
return
case
    when value is null or value in ('NaN'::double precision, 'Infinity', '-Infinity') then 0
    else round(value::numeric, 2)
end;

-- The same for REAL, five times as fast: 24 bits times 100 is exact in double precision, so that cents can be rounded there.
create or replace function entity_stats.isk(value real)
returns numeric
language sql immutable parallel safe
return
case
    when value >= 0 and value < 1e13 then floor(value::double precision * 100 + 0.5)::bigint * 0.01
    else entity_stats.isk(value::double precision)
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
comment on function entity_stats.isk(real) is
'Exact value in ISK, two decimals, of a REAL value; 0 for null and non-finite values. Equal to that of its DOUBLE PRECISION.';
comment on function entity_stats.isk(numeric) is
'Exact value in ISK, two decimals, of a NUMERIC value; 0 for null and non-finite values.';
