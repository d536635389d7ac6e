-- The three views. They are names only: what they show is entity_stats.source_stats(), so an upgrade changes the function and
-- never waits for a page that is reading a view.
do $$
begin
    if to_regclass('public.character_stats') is null then
        create view public.character_stats as
        select s.period, (s.stats).*
        from entity_stats.source_stats('character') as s;

        create view public.corporation_stats as
        select s.period, (s.stats).*
        from entity_stats.source_stats('corporation') as s;

        create view public.alliance_stats as
        select s.period, (s.stats).*
        from entity_stats.source_stats('alliance') as s;
    end if;
end
$$;

comment on view public.character_stats is 'Characters straight from killmails, per period; no row where there are no killmails. Filter by "entityId".';
comment on view public.corporation_stats is 'Corporations straight from killmails, per period; no row where there are no killmails. Filter by "entityId".';
comment on view public.alliance_stats is 'Alliances straight from killmails, per period; no row where there are no killmails. Filter by "entityId".';
