SET lock_timeout = '5s';

-- The message that could not be sent, as it was scheduled: its row is deleted. Null for a failure of before this column.
ALTER TABLE scheduled_failures ADD COLUMN message json;
