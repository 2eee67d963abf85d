SET lock_timeout = '5s';
ALTER TABLE scheduled_failures DROP COLUMN message;
