ALTER TABLE messages DROP COLUMN length;
