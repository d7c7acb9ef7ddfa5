-- An event is written three times in its life: received, claimed, marked. With room for all three versions on its page a
-- claim touches no index (HOT), where it used to write three, and their growth is spared with it.
ALTER TABLE webhook_event SET (fillfactor = 50);
