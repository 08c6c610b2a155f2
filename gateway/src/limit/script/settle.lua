
-- Puts right what was taken before its cost was known.
--
-- KEYS    one for each policy
-- ARGV    for each: algorithm, cost, actual, since, a, b, c

local PER_KEY = 7
for i, key in ipairs(KEYS) do
  local at = PER_KEY * (i - 1)
  local a, b, c = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7])
  local since = tonumber(ARGV[at + 4])
  algorithms[ARGV[at + 1]].settle(key, now, tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), a, b, c, since)
end
return redis.status_reply('OK')
