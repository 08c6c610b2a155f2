-- Takes one request from a key's quota, by the Generic Cell Rate Algorithm.
--
-- KEYS[1]  the key; holds its theoretical arrival time (TAT), microseconds since the epoch
-- ARGV[1]  microseconds per request
-- ARGV[2]  how many requests may come at once
--
-- Returns { 1 if allowed or else 0, remaining requests, microseconds until the whole quota is there, microseconds to wait }.
-- All numbers are whole and below 2^53, so that Lua's doubles are exact.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval = tonumber(ARGV[1])
local burst = tonumber(ARGV[2])
local capacity = interval * burst

local tat = tonumber(redis.call('GET', KEYS[1]) or now)
-- Never in the past; and never further ahead than a full bucket, which it could be after a step back of the clock or with
-- a policy that was larger before.
tat = math.min(math.max(tat, now), now + capacity)

local next_tat = tat + interval
local wait = next_tat - capacity - now
if wait > 0 then
  return { 0, 0, tat - now, wait }
end
redis.call('SET', KEYS[1], string.format('%.0f', next_tat), 'PX', math.ceil((next_tat - now) / 1000))
return { 1, math.floor(-wait / interval), next_tat - now, 0 }
