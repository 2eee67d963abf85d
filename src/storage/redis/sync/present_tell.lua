#!lua
-- Publishes changes of the devices of a node, and stores them for nodes that come later.
--
-- KEYS: the node's hash. Fields: "v", its version, and the devices.
-- ARGV: the node's channel, the version that the node has stored last, the expiry in milliseconds, the message, the number of set
-- devices, for each a field and a value, and the fields of the ended devices.
-- Returns the new version, or false if the hash has another one: it was lost, or an earlier call was. Then the node stores everything
-- again. Without changes the version stays, and its message shows the other nodes that they have not missed any.
local version = redis.call('HGET', KEYS[1], 'v')
if version ~= ARGV[2] then
    return false
end
if #ARGV > 5 then
    for at = 6, 5 + 2 * ARGV[5], 2 do
        redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
    end
    for at = 6 + 2 * ARGV[5], #ARGV do
        redis.call('HDEL', KEYS[1], ARGV[at])
    end
    version = redis.call('HINCRBY', KEYS[1], 'v', 1)
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SPUBLISH', ARGV[1], version .. ':' .. ARGV[4])
return tonumber(version)
