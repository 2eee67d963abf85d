SET lock_timeout = '5s';
DELETE FROM former_members AS f USING former_members AS later
WHERE later.conversation_id = f.conversation_id AND later.user_id = f.user_id AND later.joined_seq > f.joined_seq;
ALTER TABLE former_members
    DROP CONSTRAINT former_members_pkey,
    DROP COLUMN joined_seq,
    DROP COLUMN cleared_seq,
    ADD PRIMARY KEY (conversation_id, user_id);
