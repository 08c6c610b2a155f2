-- The exact sliding window (see log.rs). A key is a sorted set: for each request within the window one member, "time:cost" at its
-- time, in microseconds since the epoch; and 'sum' at the cost of all of them. It expires when the last has left the window.

local LOG_FIRST_TIME = 1000000

local function log_cost(member)
  return tonumber(string.match(member, ':(%d+)$'))
end

local function log_add(key, time, cost)
  local there = redis.call('ZRANGEBYSCORE', key, time, time)[1]
  local both = cost
  if there then
    both = both + log_cost(there)
    redis.call('ZREM', key, there)
  end
  redis.call('ZADD', key, time, string.format('%.0f:%.0f', time, both))
  redis.call('ZINCRBY', key, cost, 'sum')
end

-- The cost of what is in the window that ends now. What has left it goes for good, even if nothing is taken: it would be read
-- again and again. After a step back of the clock, what has passed has passed now.
local function log_forget(key, now, window)
  local ahead = redis.call('ZRANGEBYSCORE', key, string.format('(%.0f', now), '+inf')
  for _, member in ipairs(ahead) do
    redis.call('ZREM', key, member)
    redis.call('ZINCRBY', key, -log_cost(member), 'sum')
    log_add(key, now, log_cost(member))
  end
  local gone = redis.call('ZRANGEBYSCORE', key, LOG_FIRST_TIME, string.format('%.0f', now - window))
  if #gone > 0 then
    local cost = 0
    for _, member in ipairs(gone) do
      cost = cost + log_cost(member)
    end
    redis.call('ZREMRANGEBYSCORE', key, LOG_FIRST_TIME, string.format('%.0f', now - window))
    redis.call('ZINCRBY', key, -cost, 'sum')
  end
  return tonumber(redis.call('ZSCORE', key, 'sum') or 0)
end

local function log_state(key, now, sum, limit, window)
  local reset = 0
  if sum > 0 then
    reset = tonumber(redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2]) + window - now
  end
  return { remaining = math.max(limit - sum, 0), reset = reset }
end

-- Until so much of what is there has left the window; a whole one if there is not so much.
local function log_wait(key, now, cost, window)
  local from, PART = 0, 100
  while true do
    local members = redis.call('ZRANGEBYSCORE', key, LOG_FIRST_TIME, '+inf', 'WITHSCORES', 'LIMIT', from, PART)
    for i = 1, #members, 2 do
      cost = cost - log_cost(members[i])
      if cost <= 0 then
        return tonumber(members[i + 1]) + window - now
      end
    end
    if #members < 2 * PART then
      return window
    end
    from = from + PART
  end
end

local function log_expire(key, sum, window)
  if sum > 0 then
    redis.call('PEXPIRE', key, math.ceil(window / 1000))
  else
    redis.call('DEL', key)
  end
end

local function log_usual_cost(cost, limit)
  return math.min(math.max(cost, 1), math.max(limit, 1))
end

-- From the request that was logged at `since`. If it is not there any more, there is nothing to give back; nor if a step back of
-- the clock has moved it, which counts it too much rather than another too little.
local function log_give_back(key, cost, since)
  local member = redis.call('ZRANGEBYSCORE', key, since, since)[1]
  if not member then
    return 0
  end
  local there = log_cost(member)
  local given = math.min(cost, there)
  redis.call('ZREM', key, member)
  redis.call('ZINCRBY', key, -there, 'sum')
  if there > given then
    log_add(key, since, there - given)
  end
  return given
end

algorithms.sliding_window = {
  look = function(key, now, cost, limit, window)
    cost = log_usual_cost(cost, limit)
    local sum = log_forget(key, now, window)
    local before = log_state(key, now, sum, limit, window)
    local over = sum + cost - limit
    return {
      wait = over > 0 and log_wait(key, now, over, window) or 0,
      before = before,
      after = { remaining = math.max(-over, 0), reset = window, cost = cost },
    }
  end,
  write = function(key, now, after, _, window)
    log_add(key, now, after.cost)
    log_expire(key, after.cost, window)
  end,
  settle = function(key, now, cost, actual, limit, window, _, since)
    cost = log_usual_cost(cost, limit)
    local sum = log_forget(key, now, window)
    if actual >= cost then
      local more = math.min(actual - cost, math.max(2 * limit - sum, 0))
      if more > 0 then
        log_add(key, now, more)
        sum = sum + more
      end
    else
      sum = sum - log_give_back(key, cost - actual, since)
    end
    log_expire(key, sum, window)
  end,
}
