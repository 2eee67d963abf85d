DROP INDEX scheduled_media, scheduled_posters;
DROP TABLE media_store, blob_deletions, media_candidates, message_media, media_usage, media_parts, media;
