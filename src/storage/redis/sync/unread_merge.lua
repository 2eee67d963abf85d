#!lua
-- Merges a snapshot of all unread counts of a user, from PostgreSQL, into the hash of unread_apply.lua.
--
-- KEYS[1]: the user's hash. ARGV: expiry in ms, the inbox head of the snapshot, then (conversation, count) for each
-- conversation with unread messages.
--
-- The snapshot includes every entry up to its head: a conversation whose seq is not newer gets the snapshot's count, or is
-- deleted; newer ones stay; the mark moves up to the head. A merge may run at any time, late or twice. A hash whose mark has
-- reached the head is left as it is: a count that became zero has left no seq, so an old snapshot would restore it.
local key, head = KEYS[1], tonumber(ARGV[2])
local reached = tonumber(redis.call('HGET', key, 'mark') or nil)
if reached and reached >= head then
    return { reached, tonumber(redis.call('HGET', key, 'total')) }
end
local snapshot = {}
for i = 3, #ARGV, 2 do
    snapshot[ARGV[i]] = tonumber(ARGV[i + 1])
end
local stored = redis.call('HGETALL', key)
local mark, ahead = 0, {}
local set, gone, total = {}, {}, 0
for i = 1, #stored, 2 do
    local field, value = stored[i], stored[i + 1]
    if field == 'mark' then
        mark = tonumber(value)
    elseif field == 'ahead' then
        for seq, conversation in string.gmatch(value, ' (%d+):(%S+)') do
            ahead[tonumber(seq)] = conversation
        end
    elseif field ~= 'total' then
        local count, seq = string.match(value, '^(%d+):(%d+)$')
        if tonumber(seq) > head then
            snapshot[field] = nil
            total = total + tonumber(count)
        elseif not snapshot[field] then
            gone[#gone + 1] = field
        end
    end
end
for conversation, count in pairs(snapshot) do
    set[#set + 1] = conversation
    set[#set + 1] = string.format('%d:%d', count, head)
    total = total + count
end
if mark < head then
    mark = head
end
local left = ''
for seq in pairs(ahead) do
    if seq <= mark then
        ahead[seq] = nil
    end
end
while ahead[mark + 1] do
    mark = mark + 1
    ahead[mark] = nil
end
for seq, conversation in pairs(ahead) do
    left = left .. string.format(' %d:%s', seq, conversation)
end
for _, field in ipairs(gone) do
    redis.call('HDEL', key, field)
end
for i = 1, #set, 2 do
    redis.call('HSET', key, set[i], set[i + 1])
end
redis.call('HSET', key, 'mark', string.format('%d', mark), 'total', string.format('%d', total))
if left == '' then
    redis.call('HDEL', key, 'ahead')
else
    redis.call('HSET', key, 'ahead', left)
end
redis.call('PEXPIRE', key, ARGV[1])
return { mark, total }
