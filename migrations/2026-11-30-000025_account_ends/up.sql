SET lock_timeout = '5s';

-- `state`: 'active', 'deactivated' or 'deleted'. `deactivated_by`: 'self' or 'operator'; only the person's own ends with a login.
-- `erase_at`: the erasure begins then, and continues from then on until all is erased. `renamed_at`: the last change of the username.
ALTER TABLE users
    ADD COLUMN state          text NOT NULL DEFAULT 'active',
    ADD COLUMN deactivated_by text,
    ADD COLUMN erase_at       timestamptz,
    ADD COLUMN renamed_at     timestamptz;
CREATE INDEX users_search ON users (username COLLATE "C") WHERE state = 'active';
CREATE INDEX users_erasing ON users (erase_at) WHERE erase_at IS NOT NULL;

-- A former name: it resolves to nothing, and until `reserved_until` only its owner may take it. The name of an erased account has no
-- owner.
ALTER TABLE usernames
    ADD COLUMN reserved_until timestamptz,
    ALTER COLUMN user_id DROP NOT NULL;
CREATE INDEX usernames_former ON usernames (user_id) WHERE reserved_until IS NOT NULL AND user_id IS NOT NULL;
CREATE INDEX usernames_reserved ON usernames (reserved_until) WHERE reserved_until IS NOT NULL;

-- Both sides of a relation are deleted with an account.
CREATE INDEX contacts_by_person ON contacts (contact_id);
CREATE INDEX contact_requests_by_peer ON contact_requests (peer_id);

CREATE OR REPLACE VIEW users_now AS
SELECT id, username, display_name, avatar_url, rev, created_at, read_receipts,
       CASE WHEN status_until <= now() THEN 'auto' ELSE availability END AS availability,
       CASE WHEN status_until <= now() THEN NULL ELSE status_emoji END AS status_emoji,
       CASE WHEN status_until <= now() THEN NULL ELSE status_text END AS status_text,
       CASE WHEN status_until <= now() THEN NULL ELSE status_until END AS status_until,
       state = 'deleted' AS deleted
FROM users;
