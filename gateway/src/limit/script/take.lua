
-- Takes from all quotas of a request, or from none.
--
-- KEYS    one for each policy
-- ARGV    for each: algorithm, 1 if it only watches or else 0, cost, a, b, c
--
-- Returns for each { 1 if allowed or else 0, remaining requests, microseconds until the whole quota is there, microseconds to wait, the time }.

local PER_KEY = 6
local looks, is_refused = {}, false
for i, key in ipairs(KEYS) do
  local at = PER_KEY * (i - 1)
  local a, b, c = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  looks[i] = algorithms[ARGV[at + 1]].look(key, now, tonumber(ARGV[at + 3]), a, b, c)
  is_refused = is_refused or (looks[i].wait > 0 and ARGV[at + 2] == '0')
end

local answers = {}
for i, key in ipairs(KEYS) do
  local look, at = looks[i], PER_KEY * (i - 1)
  local state = look.before
  if look.wait == 0 and not is_refused then
    state = look.after
    local a, b, c = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
    algorithms[ARGV[at + 1]].write(key, now, state, a, b, c)
  end
  answers[i] = { look.wait == 0 and 1 or 0, state.remaining, state.reset, look.wait, now }
end
return answers
