-- The Generic Cell Rate Algorithm (see gcra.rs). A key holds its theoretical arrival time (TAT), in microseconds since the
-- epoch, and expires at it, when it would say nothing any more.

-- Never in the past; and never further ahead than can be, which it could be after a step back of the clock or with a policy
-- that was larger before.
local function gcra_tat(key, now, interval, burst, overdraft)
  local tat = tonumber(redis.call('GET', key) or now)
  return math.min(math.max(tat, now), now + interval * (burst + overdraft))
end

local function gcra_state(tat, now, interval, burst)
  return { remaining = math.max(math.floor((now + interval * burst - tat) / interval), 0), reset = tat - now, tat = tat }
end

local function gcra_write(key, now, state)
  if state.tat > now then
    redis.call('SET', key, string.format('%.0f', state.tat), 'PX', math.ceil((state.tat - now) / 1000))
  else
    redis.call('DEL', key)
  end
end

algorithms.gcra = {
  look = function(key, now, cost, interval, burst, overdraft)
    local tat = gcra_tat(key, now, interval, burst, overdraft)
    local next_tat = tat + interval * math.min(cost, burst)
    return {
      wait = math.max(next_tat - interval * burst - now, 0),
      before = gcra_state(tat, now, interval, burst),
      after = gcra_state(next_tat, now, interval, burst),
    }
  end,
  write = gcra_write,
  settle = function(key, now, cost, actual, interval, burst, overdraft, since)
    local tat = gcra_tat(key, now, interval, burst, overdraft)
    local more = interval * (math.min(actual, burst + overdraft) - math.min(cost, burst))
    -- What is given back is worth less by its age (see gcra.rs).
    local age = math.max(now - since, 0)
    tat = tat + (more < 0 and math.min(more + age, 0) or more)
    tat = math.min(math.max(tat, now), now + interval * (burst + overdraft))
    gcra_write(key, now, gcra_state(tat, now, interval, burst))
  end,
}
