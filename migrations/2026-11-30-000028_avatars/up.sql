SET lock_timeout = '5s';

-- The uploaded picture of a user, one of the user's own media. `avatar_url` has its path then.
ALTER TABLE users ADD COLUMN avatar_media_id uuid;

-- The uploaded picture of a group or channel, and the user who has uploaded it.
ALTER TABLE conversations ADD COLUMN avatar_media_id uuid, ADD COLUMN avatar_owner_id uuid;

-- For the collector of media.
CREATE INDEX conversations_avatars ON conversations (avatar_media_id) WHERE avatar_media_id IS NOT NULL;
