-- Adds revocations that are new to the set and to the stream, numbered; drops what is over.
-- KEYS: set, stream, state. ARGV: entries to keep in the stream, then a member and its end for each revocation.
local now = tonumber(redis.call('TIME')[1])
local added = 0
for i = 2, #ARGV, 2 do
  local known = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if not known or tonumber(known) < tonumber(ARGV[i + 1]) then
    redis.call('ZADD', KEYS[1], ARGV[i + 1], ARGV[i])
    local number = redis.call('HINCRBY', KEYS[3], 'number', 1)
    redis.call('XADD', KEYS[2], '*', 'n', number, 'r', ARGV[i], 'e', ARGV[i + 1])
    added = added + 1
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', ARGV[1])
redis.call('XTRIM', KEYS[2], 'MINID', '~', string.format('%d', (now - 600) * 1000))
redis.call('HSET', KEYS[3], 'told', now)
return added
