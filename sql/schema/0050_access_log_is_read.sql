-- Who has looked at a payload, and at what somebody has looked: both are asked, newest first.
CREATE INDEX access_log_by_object ON access_log (object, id DESC);
CREATE INDEX access_log_by_actor ON access_log (actor, id DESC);
