-- What wrk sends, and how it reports. Arguments: METHOD BODY_BYTES TOKENS_FILE|- KEEP|CLOSE
function init(args)
  wrk.method = args[1]
  if tonumber(args[2]) > 0 then
    wrk.body = string.rep("x", tonumber(args[2]))
  end
  if args[4] == "CLOSE" then
    wrk.headers["Connection"] = "close"
  end
  if args[3] == "-" then
    return
  end
  local tokens = {}
  for line in io.lines(args[3]) do
    tokens[#tokens + 1] = line
  end
  if #tokens == 1 then
    wrk.headers["Authorization"] = "Bearer " .. tokens[1]
    return
  end
  -- Written out beforehand, so that taking turns costs the load generator next to nothing.
  local requests, turn = {}, 0
  for i, token in ipairs(tokens) do
    wrk.headers["Authorization"] = "Bearer " .. token
    requests[i] = wrk.format()
  end
  request = function()
    turn = turn % #requests + 1
    return requests[turn]
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("result requests=%d microseconds=%d connect=%d read=%d write=%d status=%d timeout=%d\n",
    summary.requests, summary.duration, errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
