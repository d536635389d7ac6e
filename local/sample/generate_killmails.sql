-- Makes killmails that look like the game's: who, when and how much follow six days of all its killmails.
-- Every number is a hash of seed, killmail id and stream, so that the same arguments give the same rows on any server and plan.
create or replace function sample.uniform(id bigint, seed bigint, stream bigint)
returns double precision
language sql immutable parallel safe
return (hashint8extended(id, hashint8extended(stream, seed)) & 9007199254740991)::double precision / 9007199254740992;

revoke all on function sample.uniform(bigint, bigint, bigint) from public;
comment on function sample.uniform(bigint, bigint, bigint) is
'Evenly distributed in [0, 1): 53 bits of the hash of id, seed and stream.';

-- Box and Muller's method.
create or replace function sample.normal(id bigint, seed bigint, stream bigint)
returns double precision
language sql immutable parallel safe
return sqrt(-2 * ln(1 - sample.uniform(id, seed, stream))) * cos(2 * pi() * sample.uniform(id, seed, -stream));

revoke all on function sample.normal(bigint, bigint, bigint) from public;
comment on function sample.normal(bigint, bigint, bigint) is 'Standard normal deviate of id, seed and stream.';

-- The inverse of the continuous distribution function; shift flattens the head (Mandelbrot's form), the tail keeps the exponent.
create or replace function sample.zipf(u double precision, population bigint, exponent double precision, shift double precision)
returns bigint
language sql immutable parallel safe
return least(
    population,
    floor(
        power(
            power(1 + shift, 1 - exponent)
            + u * (power(1 + shift + population, 1 - exponent) - power(1 + shift, 1 - exponent)),
            1 / (1 - exponent)
        ) - shift
    )::bigint
);

revoke all on function sample.zipf(double precision, bigint, double precision, double precision) from public;
comment on function sample.zipf(double precision, bigint, double precision, double precision) is
'Rank 1 .. population, Zipf-distributed with the exponent (not 1), for u evenly distributed in [0, 1).';

-- Activity is counted in days of killmails: whole days since 1970, and the share of a day's killmails up to that time of day.
create or replace function sample.day_profile()
returns double precision[]
language sql immutable parallel safe
return array[
    0, 0.0437, 0.0829, 0.1133, 0.1504, 0.1833, 0.2170, 0.2458, 0.2697, 0.2972, 0.3235, 0.3505, 0.3759,
    0.4226, 0.4730, 0.5234, 0.5776, 0.6317, 0.6880, 0.7392, 0.8038, 0.8646, 0.9258, 0.9658, 1
];

revoke all on function sample.day_profile() from public;
comment on function sample.day_profile() is
'Share of a day''s killmails before each full hour, 00:00 to 24:00 UTC: 19-21h have 2.6 times as many as 07h.';

create or replace function sample.activity_at(at_time timestamptz)
returns double precision
language sql stable parallel safe
begin atomic
    select t.day + p.profile[t.hour + 1] + (t.seconds / 3600 - t.hour) * (p.profile[t.hour + 2] - p.profile[t.hour + 1])
    from (
        select
            floor(s.epoch / 86400) as day,
            floor((s.epoch - 86400 * floor(s.epoch / 86400)) / 3600)::integer as hour,
            s.epoch - 86400 * floor(s.epoch / 86400) as seconds
        from (select extract(epoch from at_time)::double precision as epoch) as s
    ) as t
    cross join (select sample.day_profile() as profile) as p;
end;

revoke all on function sample.activity_at(timestamptz) from public;
comment on function sample.activity_at(timestamptz) is 'Days of killmails up to at_time.';

create or replace function sample.activity_time(activity double precision)
returns timestamptz
language sql immutable parallel safe
return to_timestamp(
    floor(
        86400 * floor(activity)
        + 3600 * (
            width_bucket(activity - floor(activity), sample.day_profile()) - 1
            + (activity - floor(activity) - (sample.day_profile())[width_bucket(activity - floor(activity), sample.day_profile())])
            / (
                (sample.day_profile())[width_bucket(activity - floor(activity), sample.day_profile()) + 1]
                - (sample.day_profile())[width_bucket(activity - floor(activity), sample.day_profile())]
            )
        )
    )
);

revoke all on function sample.activity_time(double precision) from public;
comment on function sample.activity_time(double precision) is 'The inverse of activity_at, in whole seconds.';

-- Quantiles of what is not solo, in between along the logarithm.
create or replace function sample.attackers(u double precision)
returns integer
language sql immutable parallel safe
begin atomic
    select floor(q.size[i.i] * power(q.size[i.i + 1] / q.size[i.i], (q.u - q.share[i.i]) / (q.share[i.i + 1] - q.share[i.i])))::integer
    from (
        select
            u,
            array[0, 0.14, 0.38, 0.58, 0.70, 0.8377, 0.94, 0.98377, 0.997, 1]::double precision[] as share,
            array[1, 2, 3, 4, 5.5, 9.5, 21, 63, 140, 400]::double precision[] as size
    ) as q
    cross join lateral (select width_bucket(q.u, q.share) as i) as i;
end;

revoke all on function sample.attackers(double precision) from public;
comment on function sample.attackers(double precision) is
'Number of attackers of a killmail that is not solo, for u evenly distributed in [0, 1).';

-- Seeds must not share ids: killmails of several seeds live in one table.
create or replace function sample.first_killmail_id(seed bigint)
returns bigint
language sql immutable parallel safe
return 100000000 * seed + 1;

revoke all on function sample.first_killmail_id(bigint) from public;
comment on function sample.first_killmail_id(bigint) is 'Where a seed''s ids begin, unless the caller says otherwise; 100 million are its own.';

create or replace function sample.killmails(
    rows bigint,
    from_time timestamptz,
    to_time timestamptz,
    seed bigint default 1,
    first_id bigint default null
)
returns setof public.killmails
language sql stable parallel safe
begin atomic
    with
    -- Six days have 83,228 killmails; larger worlds have more entities, up to those of the whole history (90 million killmails).
    world as materialized (
        select
            coalesce(first_id, sample.first_killmail_id(seed)) as first_id,
            sample.activity_at(from_time) as start,
            (sample.activity_at(to_time) - sample.activity_at(from_time)) / nullif(rows, 0) as step,
            least(7999992, 38000 * power(greatest(1, rows / 83228.0), 0.69))::bigint as characters,
            least(999982, 6440 * power(greatest(1, rows / 83228.0), 0.72))::bigint as corporations,
            least(999982, 766 * power(greatest(1, rows / 83228.0), 0.40))::bigint as alliances
    ),

    -- Ids follow time, as the game's do. Eight fights go on at a time: a killmail that belongs to one may draw the fight's
    -- entities instead of its own, which is why 100 killmails in a row touch fewer entities than 100 of all.
    event as (
        select
            w.first_id + n.n as id,
            w.start + (n.n + sample.uniform(w.first_id + n.n, seed, 1)) * w.step as activity,
            -1 - 8 * ((w.first_id + n.n) / 64) - floor(8 * sample.uniform(w.first_id + n.n, seed, 2))::bigint as fight,
            sample.uniform(w.first_id + n.n, seed, 3) as kind,
            w.characters,
            w.corporations,
            w.alliances
        from world as w
        cross join generate_series(0, rows - 1) as n (n)
    ),

    draw as (
        select
            e.*,
            e.kind < 0.148 as npc,
            e.kind >= 0.148 and e.kind < 0.532 as solo,
            case
                when sample.uniform(e.id, seed, 10) >= 0.018
                    then sample.zipf(
                        sample.uniform(case when sample.uniform(e.id, seed, 11) < 0.36 then e.fight else e.id end, seed, 12),
                        e.characters, 0.40, 0
                    )
            end as victim_character,
            sample.zipf(
                sample.uniform(case when sample.uniform(e.id, seed, 21) < 0.62 then e.fight else e.id end, seed, 22),
                e.corporations, 0.65, 0
            ) as victim_corporation,
            case
                when sample.uniform(e.id, seed, 30) >= 0.317
                    then sample.zipf(
                        sample.uniform(case when sample.uniform(e.id, seed, 31) < 0.70 then e.fight else e.id end, seed, 32),
                        e.alliances, 1.30, 3
                    )
            end as victim_alliance,
            sample.zipf(
                sample.uniform(case when sample.uniform(e.id, seed, 41) < 0.50 then e.fight else e.id end, seed, 42),
                e.characters, 0.40, 0
            ) as attacker_character,
            sample.zipf(
                sample.uniform(case when sample.uniform(e.id, seed, 51) < 0.62 then e.fight else e.id end, seed, 52),
                e.corporations, 0.65, 0
            ) as attacker_corporation,
            sample.zipf(
                sample.uniform(case when sample.uniform(e.id, seed, 61) < 0.70 then e.fight else e.id end, seed, 62),
                e.alliances, 1.30, 6
            ) as attacker_alliance
        from event as e
    ),

    -- Non-player attackers have no character, often no corporation and hardly ever an alliance.
    pair as (
        select
            d.*,
            case
                when not d.npc and sample.uniform(d.id, seed, 43) >= 0.002
                    then case
                        when sample.uniform(d.id, seed, 44) < 0.0008 then coalesce(d.victim_character, d.attacker_character)
                        else d.attacker_character
                    end
            end as final_character,
            case
                when not (d.npc and sample.uniform(d.id, seed, 53) < 0.47)
                    then case
                        when sample.uniform(d.id, seed, 54) < 0.0093 then d.victim_corporation
                        else d.attacker_corporation
                    end
            end as final_corporation,
            case
                when sample.uniform(d.id, seed, 63) >= case when d.npc then 0.969 else 0.21 end
                    then case
                        when sample.uniform(d.id, seed, 64) < 0.0078 then coalesce(d.victim_alliance, d.attacker_alliance)
                        else d.attacker_alliance
                    end
            end as final_alliance
        from draw as d
    )

    -- A rank times a constant, modulo a prime, is another rank's neighbour nowhere: busy entities are spread over the ids.
    select
        p.id as "killmailId",
        greatest(from_time, sample.activity_time(p.activity)) as "killmailTime",
        30000000 + sample.zipf(sample.uniform(p.id, seed, 70), 5200, 0.80, 0) as "solarSystemId",
        90000000 + p.victim_character * 3141593 % 7999993 as "victimCharacterId",
        98000000 + p.victim_corporation * 271829 % 999983 as "victimCorporationId",
        99000000 + p.victim_alliance * 161803 % 999983 as "victimAllianceId",
        case
            when sample.uniform(p.id, seed, 80) < 0.127 then 670
            else 582 + sample.zipf(sample.uniform(p.id, seed, 71), 400, 0.90, 0)
        end as "victimShipTypeId",
        90000000 + p.final_character * 3141593 % 7999993 as "topAttackerCharacterId",
        98000000 + p.final_corporation * 271829 % 999983 as "topAttackerCorporationId",
        99000000 + p.final_alliance * 161803 % 999983 as "topAttackerAllianceId",
        582 + sample.zipf(sample.uniform(p.id, seed, 72), 400, 0.90, 0) as "topAttackerShipTypeId",
        case
            when sample.uniform(p.id, seed, 80) < 0.127 then 10000
            else round(greatest(0.01, exp(17.4 + 2.5 * sample.normal(p.id, seed, 81)))::numeric, 2)
        end::real as "totalValue",
        case
            when p.solo then 1 + (sample.uniform(p.id, seed, 90) < 0.13)::integer
            else sample.attackers(sample.uniform(p.id, seed, 90))
        end as "attackerCount",
        p.npc,
        p.solo,
        coalesce(p.victim_corporation = p.final_corporation, false) as awox
    from pair as p
    -- Archives deliver late, in bundles: 15 hours is the median, 4.7 % take over a day.
    order by sample.activity_time(p.activity) + interval '15 hours' * exp(0.28 * sample.normal(p.id / 64, seed, 100)), p.id;
end;

revoke all on function sample.killmails(bigint, timestamptz, timestamptz, bigint, bigint) from public;
comment on function sample.killmails(bigint, timestamptz, timestamptz, bigint, bigint) is
'That many killmails with from_time <= "killmailTime" < to_time, in order of arrival; their ids go up with their times from first_id.';

create or replace function sample.generate_killmails(
    rows bigint,
    from_time timestamptz,
    to_time timestamptz,
    seed bigint default 1,
    first_id bigint default null
)
returns bigint
language plpgsql
set search_path = pg_catalog
as $$
declare
    inserted bigint;
begin
    if rows is null or rows < 0 then
        raise exception 'rows must be 0 or more, not %', rows using errcode = 'invalid_parameter_value';
    end if;
    if from_time is null or to_time is null or not from_time < to_time then
        raise exception 'from_time must be before to_time: % and %', from_time, to_time using errcode = 'invalid_parameter_value';
    end if;
    perform sample.create_partitions(from_time, to_time);
    insert into public.killmails
    select k.*
    from sample.killmails(rows, from_time, to_time, seed, first_id) as k
    on conflict do nothing;
    get diagnostics inserted = row_count;
    return inserted;
end;
$$;

revoke all on function sample.generate_killmails(bigint, timestamptz, timestamptz, bigint, bigint) from public;
comment on function sample.generate_killmails(bigint, timestamptz, timestamptz, bigint, bigint) is
'Inserts sample.killmails(...) and makes missing partitions; returns the number inserted: a second call inserts nothing.';
