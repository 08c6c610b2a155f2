-- Notes that a gateway lives, or lives no more, and counts those that do.
--
-- KEYS[1]  the gateways' ids, by the millisecond at which each was last heard of
-- ARGV[1]  the gateway's id
-- ARGV[2]  milliseconds after which one that is not heard of is forgotten
-- ARGV[3]  1 if it lives, 0 if it ends

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local forgotten = now - tonumber(ARGV[2])
if ARGV[3] == '1' then
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', forgotten))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
