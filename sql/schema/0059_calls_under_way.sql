-- Whether the next attempt's time is the end of a lease, because somebody is making the call, or the end of a delay, because
-- the last one failed: whoever waits for the call must know which. Of a call that has ended it says nothing.
ALTER TABLE outbox_effect ADD COLUMN under_way boolean NOT NULL DEFAULT false;
