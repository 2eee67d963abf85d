SET lock_timeout = '5s';

-- The length of a content as text, in bytes: pages are cut by it without reading the contents. Null of what was stored before
-- there was this column.
ALTER TABLE messages ADD COLUMN length integer;
