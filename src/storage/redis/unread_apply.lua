#!lua
-- Applies inbox entries to a user's unread counts.
--
-- KEYS[1]: the user's hash. Fields: "total"; "mark", the highest seq up to which every entry was applied; "ahead", the
-- seqs applied beyond it, as " 7:<conversation> 9:<conversation>"; and per conversation "<id>" = "count:seq".
-- ARGV: the user's channel, then (seq, conversation, count) for each entry. The count is absolute, as of the entry; -1
-- means that the conversation is large, and not counted here, so that the total is not all.
-- Returns {mark, total}, or false when they are unknown: something before the newest entry is missing, something is large,
-- or there is no hash. Only a rebuild begins one, when somebody asks: counts that nobody reads are not kept. Either way it publishes
-- the news, "seq:total" or "seq", to the nodes where the user waits.
--
-- Entries arrive in any order, and again: the newest seq of a conversation wins, the total moves by the difference in
-- the same script, and what is at or below the mark was applied before. A script that fails half-way is not rolled
-- back, so it reads first and writes last, in one HSET.
local key = KEYS[1]
local state = redis.call('HMGET', key, 'mark', 'total', 'ahead', ARGV[3])
local mark, total = tonumber(state[1]), tonumber(state[2])
local newest, large = 0, false
for i = 2, #ARGV, 3 do
    newest = math.max(newest, tonumber(ARGV[i]))
    large = large or ARGV[i + 2] == '-1'
end
newest = string.format('%d', newest)
if not mark then
    redis.call('SPUBLISH', ARGV[1], newest)
    return false
end

local ahead, waiting = {}, 0
for seq, conversation in string.gmatch(state[3] or '', ' (%d+):(%S+)') do
    ahead[tonumber(seq)] = conversation
    waiting = waiting + 1
end
local stored = { [ARGV[3]] = state[4] }
local changed = {}
for i = 2, #ARGV, 3 do
    local seq, conversation, count = tonumber(ARGV[i]), ARGV[i + 1], math.max(0, tonumber(ARGV[i + 2]))
    if seq > mark and not ahead[seq] then
        local entry = changed[conversation]
        if not entry then
            if stored[conversation] == nil then
                stored[conversation] = redis.call('HGET', key, conversation)
            end
            local old = stored[conversation] or '0:0'
            local colon = string.find(old, ':', 1, true)
            entry = { count = tonumber(string.sub(old, 1, colon - 1)), seq = tonumber(string.sub(old, colon + 1)) }
        end
        if seq > entry.seq then
            total = total + count - entry.count
            changed[conversation] = { count = count, seq = seq }
        end
        -- The mark moves over everything without a hole; what is beyond a hole waits.
        if seq == mark + 1 then
            mark = seq
        else
            ahead[seq] = conversation
            waiting = waiting + 1
        end
    end
end
local passed = {}
while waiting > 0 and ahead[mark + 1] do
    mark = mark + 1
    passed[ahead[mark]] = true
    ahead[mark] = nil
    waiting = waiting - 1
end
-- So many out of order means that one was lost: forget everything, a reader rebuilds it.
if waiting > 256 then
    redis.call('DEL', key)
    redis.call('SPUBLISH', ARGV[1], newest)
    return false
end

-- A zero count keeps its seq until the mark has passed it, so that an older entry that arrives late cannot bring the
-- count back; then it goes.
local set = { 'mark', string.format('%d', mark), 'total', string.format('%d', total) }
local gone = {}
for conversation, entry in pairs(changed) do
    if entry.count > 0 or entry.seq > mark then
        set[#set + 1] = conversation
        set[#set + 1] = string.format('%d:%d', entry.count, entry.seq)
    elseif stored[conversation] then
        gone[#gone + 1] = conversation
    end
end
for conversation in pairs(passed) do
    if not changed[conversation] then
        local count, seq = string.match(redis.call('HGET', key, conversation) or '', '^(%d+):(%d+)$')
        if count == '0' and tonumber(seq) <= mark then
            gone[#gone + 1] = conversation
        end
    end
end
if waiting > 0 or state[3] then
    local left = ''
    for seq, conversation in pairs(ahead) do
        left = left .. string.format(' %d:%s', seq, conversation)
    end
    if left == '' then
        gone[#gone + 1] = 'ahead'
    else
        set[#set + 1] = 'ahead'
        set[#set + 1] = left
    end
end
redis.call('HSET', key, unpack(set))
if #gone > 0 then
    redis.call('HDEL', key, unpack(gone))
end
-- With entries beyond a hole the total is not that of the mark.
if waiting > 0 or large then
    redis.call('SPUBLISH', ARGV[1], newest)
    return false
end
redis.call('SPUBLISH', ARGV[1], string.format('%d:%d', mark, total))
return { mark, total }
