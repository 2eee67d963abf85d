SET lock_timeout = '5s';
UPDATE users SET avatar_url = NULL WHERE avatar_media_id IS NOT NULL;
ALTER TABLE users DROP COLUMN avatar_media_id;
ALTER TABLE conversations DROP COLUMN avatar_media_id, DROP COLUMN avatar_owner_id;
