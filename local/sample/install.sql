-- The sample killmails: a table, its generator, its CSV loader. Installed again, it changes nothing.
\ir killmails.sql
\ir generate_killmails.sql
\ir live_killmails.sql
\ir load_killmails.sql
