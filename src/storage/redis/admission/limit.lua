#!lua
-- Takes cells from a rate limit that all nodes share, by GCRA (a leaky bucket that is one number).
--
-- KEYS[1]: the theoretical arrival time, when the bucket is empty again, in microseconds. ARGV: the interval per cell in
-- microseconds, the burst, the number of cells to take. Returns {1 if taken, else 0; microseconds until they can be taken;
-- microseconds until the bucket is empty}. Redis' clock is used, so that the clocks of the nodes do not matter.
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
