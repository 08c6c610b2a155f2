-- Adds revocations that are new to the set and to the stream, numbered; drops what is over.
-- KEYS: set, stream, state. ARGV: entries to keep in the stream, what this is (`fill`, `tell` or `add`), the last number that
-- the caller has seen, then a member and its end for each revocation. Answers with the last number. When something was lost,
-- by an eviction or by a failover to a replica that was behind, it adds nothing but to a `fill`, takes the epoch away, so
-- that nobody takes the rest for all, and answers -1.
local now = tonumber(redis.call('TIME')[1])
if ARGV[2] ~= 'fill' then
  local known = redis.call('HMGET', KEYS[3], 'epoch', 'number', 'count')
  if not known[1] then
    return -1
  end
  local is_behind = tonumber(known[2] or 0) < tonumber(ARGV[3])
  if is_behind or tonumber(known[3] or 0) ~= redis.call('ZCARD', KEYS[1]) then
    redis.call('HDEL', KEYS[3], 'epoch')
    return -1
  end
end
for i = 4, #ARGV, 2 do
  local known = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if not known or tonumber(known) < tonumber(ARGV[i + 1]) then
    redis.call('ZADD', KEYS[1], ARGV[i + 1], ARGV[i])
    local number = redis.call('HINCRBY', KEYS[3], 'number', 1)
    redis.call('XADD', KEYS[2], '*', 'n', number, 'r', ARGV[i], 'e', ARGV[i + 1])
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', ARGV[1])
redis.call('XTRIM', KEYS[2], 'MINID', '~', string.format('%d', (now - 600) * 1000))
redis.call('HSET', KEYS[3], 'count', redis.call('ZCARD', KEYS[1]))
if ARGV[2] ~= 'add' then
  redis.call('HSET', KEYS[3], 'told', now)
end
return tonumber(redis.call('HGET', KEYS[3], 'number') or 0)
