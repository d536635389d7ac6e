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

-- Sums of bigint are exact and take half the time of sums of numeric: who sums ISK sums cents, and isk() where there are none.
create or replace function entity_stats.cents(value real)
returns bigint
language sql immutable parallel safe
return case when value >= 0 and value < 1e13 then floor(value::double precision * 100 + 0.5)::bigint when value is null then 0 end;

create or replace function entity_stats.cents(value double precision)
returns bigint
language sql immutable parallel safe
return case when value is null then 0 end;

create or replace function entity_stats.cents(value numeric)
returns bigint
language sql immutable parallel safe
return case when value is null then 0 end;

comment on function entity_stats.cents(real) is 'isk() in cents, from 0 up to 10 trillion ISK; else null.';
comment on function entity_stats.cents(double precision) is 'Null: only isk() is exact for DOUBLE PRECISION. 0 for null.';
comment on function entity_stats.cents(numeric) is 'Null: only isk() is exact for NUMERIC. 0 for null.';
