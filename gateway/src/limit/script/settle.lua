
-- Puts right what was taken before its cost was known.
--
-- KEYS    one for each policy
-- ARGV    for each: algorithm, cost, actual, a, b, c

local PER_KEY = 6
for i, key in ipairs(KEYS) do
  local at = PER_KEY * (i - 1)
  local a, b, c = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  algorithms[ARGV[at + 1]].settle(key, now, tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), a, b, c)
end
return redis.status_reply('OK')
