-- Sends ready-made requests in turn and prints what wrk measured as one JSON line.
-- The file, named as the first argument, holds each request behind its length (4 bytes, big end
-- first). Its position at the start is drawn, so that short runs do not all begin alike.

local requests, count, turn = {}, 0, 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local data = file:read("*a")
  file:close()
  local at = 1
  while at <= #data do
    local a, b, c, d = data:byte(at, at + 3)
    local length = ((a * 256 + b) * 256 + c) * 256 + d
    count = count + 1
    requests[count] = data:sub(at + 4, at + 3 + length)
    at = at + 4 + length
  end
  math.randomseed(os.time())
  turn = math.random(0, count - 1)
end

function request()
  turn = turn % count + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"failed":%d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
