-- Takes tokens of a key's quota for a gateway to spend, or takes them back, by the Generic Cell Rate Algorithm.
--
-- KEYS[1]  the key; holds its theoretical arrival time (TAT), microseconds since the epoch
-- ARGV[1]  what to do: take, return or charge
-- ARGV[2]  microseconds per token
-- ARGV[3]  how many tokens may be taken at once
-- ARGV[4]  how many more a key may owe
--
-- take: gives as many as are wanted, but no more than half of what is there (rounded up) if that is enough for the need, so
-- that something is left for other gateways; or nothing if less is there than needed.
-- ARGV[5]  how many are needed
-- ARGV[6]  how many are wanted
-- Returns { tokens, how many are left, microseconds until the whole quota is there, microseconds until what is needed would
-- be there, this moment }.
--
-- return: makes up for tokens that will not be spent, as far as what they added has certainly not run off yet.
-- ARGV[5]  how many
-- ARGV[6]  the moment at which they were taken
-- ARGV[7]  how old they are at least, microseconds
-- Returns how many microseconds the TAT went back.
--
-- charge: takes tokens although they may not be there, as far as a key may owe.
-- ARGV[5]  how many
-- Returns how many microseconds the TAT went forward.
--
-- All numbers are whole and below 2^53, so that Lua's doubles are exact.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval = tonumber(ARGV[2])
local capacity = interval * tonumber(ARGV[3])
local furthest = now + capacity + interval * tonumber(ARGV[4])
local tokens = tonumber(ARGV[5])

-- Never in the past; and never further ahead than can be, which it could be after a step back of the clock or with a policy
-- that was larger before.
local tat = tonumber(redis.call('GET', KEYS[1]) or now)
tat = math.min(math.max(tat, now), furthest)

local function move_to(next_tat)
  if next_tat > now then
    redis.call('SET', KEYS[1], string.format('%.0f', next_tat), 'PX', math.ceil((next_tat - now) / 1000))
  else
    redis.call('DEL', KEYS[1])
  end
end

if ARGV[1] == 'take' then
  local wanted = tonumber(ARGV[6])
  local free = now + capacity - tat
  local wait = tokens * interval - free
  if wait > 0 then
    return { 0, math.max(math.floor(free / interval), 0), tat - now, wait, now }
  end
  local there = math.floor(free / interval)
  local granted = math.min(wanted, math.max(tokens, math.ceil(there / 2)))
  tat = tat + granted * interval
  move_to(tat)
  return { granted, there - granted, tat - now, 0, now }
elseif ARGV[1] == 'return' then
  local taken_at = tonumber(ARGV[6])
  local age = math.max(now - taken_at, tonumber(ARGV[7]))
  local worth = math.min(tokens * interval - age, tat - now)
  -- Who has taken them later than now has seen another clock.
  if worth <= 0 or taken_at > now then
    return 0
  end
  move_to(tat - worth)
  return worth
else
  local moved = math.min(tokens * interval, furthest - tat)
  if moved > 0 then
    move_to(tat + moved)
  end
  return moved
end
