#!lua
-- Applies inbox entries to a user's unread counts.
--
-- KEYS[1]: the user's hash. Fields: "total"; "mark", the highest seq up to which every entry was applied; "ahead", the
-- seqs applied beyond it, as " 7:<conversation> 9:<conversation>"; and per conversation "<id>" = "count:seq".
-- ARGV: expiry in ms, then (seq, conversation, count) for each entry. The count is absolute, as of the entry.
-- Returns {mark, total}, or false when the counts are unknown: there is no hash, and only a user's first entry, or a
-- rebuild, begins one.
--
-- Entries arrive in any order, and again: the newest seq of a conversation wins, the total moves by the difference in
-- the same script, and what is at or below the mark was applied before.
local key = KEYS[1]
local state = redis.call('HMGET', key, 'mark', 'total', 'ahead')
local mark, total = tonumber(state[1]), tonumber(state[2])
if not mark then
    if tonumber(ARGV[2]) ~= 1 then
        return false
    end
    mark, total = 0, 0
end

-- All reads first, all writes last: a script that fails half-way is not rolled back.
local ahead, waiting = {}, 0
for seq, conversation in string.gmatch(state[3] or '', ' (%d+):(%S+)') do
    ahead[tonumber(seq)] = conversation
    waiting = waiting + 1
end
local newest = {}
for i = 2, #ARGV, 3 do
    local seq, conversation, count = tonumber(ARGV[i]), ARGV[i + 1], tonumber(ARGV[i + 2])
    if seq > mark and not ahead[seq] then
        ahead[seq] = conversation
        waiting = waiting + 1
        if not newest[conversation] or newest[conversation].seq < seq then
            newest[conversation] = { seq = seq, count = count }
        end
    end
end
local entries = {}
for conversation, new in pairs(newest) do
    local old = redis.call('HGET', key, conversation)
    local count, seq = string.match(old or '0:0', '^(%d+):(%d+)$')
    if new.seq > tonumber(seq) then
        entries[conversation] = new
        total = total + new.count - tonumber(count)
    end
end

-- The mark moves over everything without a hole. A zero count keeps its seq until the mark has passed it, so that an
-- older entry that arrives late cannot bring the count back.
local passed = {}
while ahead[mark + 1] do
    mark = mark + 1
    passed[ahead[mark]] = true
    ahead[mark] = nil
    waiting = waiting - 1
end
-- So many out of order means that one was lost: forget everything, a reader rebuilds it.
if waiting > 256 then
    redis.call('DEL', key)
    return false
end
for conversation, entry in pairs(entries) do
    redis.call('HSET', key, conversation, string.format('%d:%d', entry.count, entry.seq))
end
for conversation in pairs(passed) do
    local count, seq = string.match(redis.call('HGET', key, conversation) or '', '^(%d+):(%d+)$')
    if count == '0' and tonumber(seq) <= mark then
        redis.call('HDEL', key, conversation)
    end
end
local left = ''
for seq, conversation in pairs(ahead) do
    left = left .. string.format(' %d:%s', seq, conversation)
end
redis.call('HSET', key, 'mark', string.format('%d', mark), 'total', string.format('%d', total), 'ahead', left)
redis.call('PEXPIRE', key, ARGV[1])
return { mark, total }
