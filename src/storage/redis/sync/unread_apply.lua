#!lua
-- Applies inbox entries to the unread counts of some users, whose keys have one slot. What is the same for each call is
-- most of its cost, so there is one for many; nobody depends on anybody else in it.
--
-- KEYS: the users' hashes. Fields: "total"; "mark", the highest seq up to which every entry was applied; "ahead", the
-- seqs applied beyond it, as " 7:<conversation> 9:<conversation>"; and per conversation "<id>" = "count:seq".
-- ARGV: for each user the channel, the number of entries, and (seq, conversation, count) for each of them. The count is
-- absolute, as of the entry; -1 means that the conversation is large, and not counted here, so that the total is not all.
-- Returns {mark, total} for each user, or false when they are unknown: something before the newest entry is missing,
-- something is large, or there is no hash. Only a rebuild begins one, when somebody asks: counts that nobody reads are not
-- kept. Either way it publishes the news, "seq:total" or "seq", to the nodes where the user waits.
--
-- Entries arrive in any order, and again: the newest seq of a conversation wins, the total moves by the difference in
-- the same script, and what is at or below the mark was applied before. A script that fails half-way is not rolled
-- back, so it reads first and writes last, in one HSET.

-- Applies the entries ARGV[first] … ARGV[last] to one hash.
local function apply(key, first, last)
    -- Most have no hash, and for them this is all.
    local mark = tonumber(redis.call('HGET', key, 'mark') or nil)
    if not mark then
        return false
    end
    local state = redis.call('HMGET', key, 'total', 'ahead', ARGV[first + 1])
    local total, large = tonumber(state[1]), false
    local ahead, waiting = {}, 0
    for seq, conversation in string.gmatch(state[2] or '', ' (%d+):(%S+)') do
        ahead[tonumber(seq)] = conversation
        waiting = waiting + 1
    end
    local stored = { [ARGV[first + 1]] = state[3] }
    local changed = {}
    for i = first, last, 3 do
        local seq, conversation, count = tonumber(ARGV[i]), ARGV[i + 1], tonumber(ARGV[i + 2])
        large = large or count < 0
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
                count = math.max(0, count)
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
    if waiting > 0 or state[2] then
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
    return waiting == 0 and not large and { mark, total }
end

local results, at = {}, 1
for user = 1, #KEYS do
    local channel, first = ARGV[at], at + 2
    local last = at + 1 + 3 * tonumber(ARGV[at + 1])
    at = last + 1
    -- A hash that is none must not keep the others from theirs.
    local sound, result = pcall(apply, KEYS[user], first, last)
    result = sound and result
    local news = ARGV[first]
    if result then
        news = string.format('%d:%d', result[1], result[2])
    else
        for i = first + 3, last, 3 do
            if tonumber(ARGV[i]) > tonumber(news) then
                news = ARGV[i]
            end
        end
    end
    redis.call('SPUBLISH', channel, news)
    results[user] = result
end
return results
