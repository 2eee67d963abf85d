SET lock_timeout = '5s';

-- Without the column a former name would resolve to its owner.
DELETE FROM usernames WHERE reserved_until IS NOT NULL;
DROP INDEX usernames_reserved, usernames_former, users_erasing, users_search;
ALTER TABLE usernames DROP COLUMN reserved_until, ALTER COLUMN user_id SET NOT NULL;
ALTER TABLE users
    DROP COLUMN state,
    DROP COLUMN deactivated_by,
    DROP COLUMN erase_at,
    DROP COLUMN renamed_at;
