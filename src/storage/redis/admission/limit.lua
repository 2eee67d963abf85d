#!lua
-- Takes from a limit that all nodes share: GCRA, the leaky bucket that is one number.
--
-- KEYS[1]: the moment at which everything taken so far will have flown off, in microseconds. ARGV: microseconds for one
-- to flow off, how many fit in, how many to take. Returns {taken?, microseconds until it could be, microseconds until the
-- bucket is empty}. The time is that of Redis: the clocks of the nodes do not matter.
local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local empty = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now))
local after = empty + cost * interval
local wait = after - now - burst * interval
if wait > 0 then
    return { 0, wait, empty - now }
end
redis.call('SET', KEYS[1], string.format('%d', after), 'PX', math.ceil((after - now) / 1000))
return { 1, 0, after - now }
