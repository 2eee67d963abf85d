#!lua
-- Applies inbox entries to the unread counts of several users whose keys have one slot. The fixed cost of a call dominates, so
-- one call serves many users; they are independent of each other.
--
-- KEYS: the users' hashes. Fields: "total"; "mark", the watermark, up to which all entries are applied; "ahead", the seqs
-- applied beyond it, as " 7:<conversation> 9:<conversation>"; and per conversation "<id>" = "count:seq".
-- ARGV: for each user the channel, the number of entries, and (seq, conversation, count) for each entry. The count is absolute,
-- as of the entry; -1 means a large conversation, which is not counted here, so that the total is incomplete.
-- Returns {mark, total} for each user, or false if unknown: an entry before the newest one is missing, an entry is of a large
-- conversation, or there is no hash. Only a rebuild creates a hash, when a client reads the counts: counts that no client reads
-- need no memory. In both cases it publishes "seq:total" or "seq" to the nodes where the user waits.
--
-- Entries arrive in any order, and repeatedly: the newest seq of a conversation wins, the total changes by the difference in
-- the same script, and entries at or below the mark are already applied. A script that fails half-way is not rolled back, so
-- it reads first and writes last, in one HSET.

-- Applies the entries ARGV[first] … ARGV[last] to one hash.
local function apply(key, first, last)
    -- Most users have no hash: this is the fast path.
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
            -- The mark moves over entries without gaps; entries beyond a gap are kept in `ahead`.
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
    -- So many entries out of order mean that one was lost: delete the hash, a reader rebuilds it.
    if waiting > 256 then
        redis.call('DEL', key)
        return false
    end

    -- A zero count keeps its seq until the mark has passed it, so that an older entry that arrives late cannot restore the
    -- count; then it is deleted.
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
    -- With entries beyond a gap the total does not belong to the mark.
    return waiting == 0 and not large and { mark, total }
end

local results, at = {}, 1
for user = 1, #KEYS do
    local channel, first = ARGV[at], at + 2
    local last = at + 1 + 3 * tonumber(ARGV[at + 1])
    at = last + 1
    -- If a key has the wrong type, skip it and process the other users.
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
