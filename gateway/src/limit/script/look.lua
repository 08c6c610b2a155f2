
-- What a request would find, and takes nothing. KEYS, ARGV and what it returns are those of taking.

local PER_KEY = 6
local answers = {}
for i, key in ipairs(KEYS) do
  local at = PER_KEY * (i - 1)
  local a, b, c = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  local look = algorithms[ARGV[at + 1]].look(key, now, tonumber(ARGV[at + 3]), a, b, c)
  answers[i] = { look.wait == 0 and 1 or 0, look.before.remaining, look.before.reset, look.wait, now }
end
return answers
