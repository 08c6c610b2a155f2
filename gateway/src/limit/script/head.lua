-- What limits count by, each with three functions; `now` is in microseconds since the epoch, a, b and c are the policy's.
--   look(key, now, cost, a, b, c)            what a request would find: { wait (0 if it may pass), before, after }
--   write(key, now, after, a, b, c)          makes it so
--   settle(key, now, cost, actual, a, b, c, since)
--                                            what was taken as `cost` at `since` has cost `actual`
-- A state has `remaining` (requests) and `reset` (microseconds until the whole quota is there).
-- All numbers are whole and below 2^53, so that Lua's doubles are exact.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local algorithms = {}

