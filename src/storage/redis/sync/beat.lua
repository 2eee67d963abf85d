#!lua
-- Counts a beat of a node, and returns the beats of all nodes.
--
-- KEYS: the hash of beats by node.
-- ARGV: the node, the expiry in milliseconds, and for each node that is gone its id and the beats at which it stands still: it is
-- removed, unless it beats again.
redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
for at = 3, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[at]) == ARGV[at + 1] then
        redis.call('HDEL', KEYS[1], ARGV[at])
    end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HGETALL', KEYS[1])
