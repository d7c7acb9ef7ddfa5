-- Each event leaves a dead entry in the indexes of what is still to do. By default they are cleaned away when a fifth of
-- the table has changed: at ten million events two million dead entries, through which every claim and count would walk.
ALTER TABLE webhook_event SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
                               autovacuum_analyze_scale_factor = 0.02);
