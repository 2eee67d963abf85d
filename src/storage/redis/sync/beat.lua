#!lua
-- Stores a beat of a node, and returns the beats of all nodes.
--
-- KEYS: the hash of beats by node: the count and the time in seconds, with a colon between them.
-- ARGV: the node, its beat, the expiry in milliseconds, and for each node that is gone its id and the beat at which it stands still: it is
-- removed, unless it beats again. The count is the node's own, so that it also moves when this hash was lost.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
for at = 4, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[at]) == ARGV[at + 1] then
        redis.call('HDEL', KEYS[1], ARGV[at])
    end
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('HGETALL', KEYS[1])
