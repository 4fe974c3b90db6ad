-- Takes from every counter, or from none.
--
-- KEYS: a hash for each counter.
-- ARGV: the time in ms, or '' for the store's own; then seven for each counter: kind, limit, cost, want, span, a, b.
--   's' and 'f': windows of `span` ms, which slide or stand each by itself. a and b are a settlement's window and delta,
--     or ''. The hash has w, the window's number; c, what is counted in it; p, what was counted in the one before.
--   'h': things that the holder a holds for `span` ms; b is ''. The hash has a field for each holder: `count:end`.
-- Answers 0, or which counter refuses; how long to wait for it; then four for each counter: what it gave, the window's
-- number, what is left, ms until the window ends.

local PARTS = 7
local SHARE = 8
local KEEP_MS = 60000
local SLOTS_RETRY_MS = 1000

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Whole numbers without an exponent, however large.
local function text(number)
  return string.format('%.0f', number)
end

local function read(at)
  local base = 1 + (at - 1) * PARTS
  return {
    key = KEYS[at], kind = ARGV[base + 1],
    limit = tonumber(ARGV[base + 2]), cost = tonumber(ARGV[base + 3]), want = tonumber(ARGV[base + 4]),
    span = tonumber(ARGV[base + 5]), a = ARGV[base + 6], b = ARGV[base + 7],
  }
end

local function settle(it)
  local window, delta = tonumber(it.a), tonumber(it.b)
  if window == it.index then
    it.count = math.max(0, it.count + delta)
    it.changed = true
  elseif window == it.index - 1 and it.kind == 's' then
    it.previous = math.max(0, it.previous + delta)
    it.changed = true
  end
end

local function open_window(it)
  local stored = redis.call('HMGET', it.key, 'w', 'c', 'p')
  local w, c, p = tonumber(stored[1] or -1), tonumber(stored[2] or 0), tonumber(stored[3] or 0)
  -- A clock that was set back goes on in the window that it had reached.
  it.index = math.max(w, math.floor(now / it.span))
  if w < it.index - 1 then
    c, p = 0, 0
  elseif w < it.index then
    c, p = 0, c
  end
  it.count, it.previous = c, p
  settle(it)
  local used = it.count
  if it.kind == 's' then
    local elapsed = math.max(0, now - it.index * it.span)
    used = used + math.ceil(it.previous * (it.span - elapsed) / it.span)
  end
  it.available = math.max(0, it.limit - used)
  it.left = it.available
  it.reset = (it.index + 1) * it.span - now
end

-- How long until what was counted has faded enough for the cost.
local function window_retry(it)
  local spare = math.max(0, it.limit - it.cost)
  if it.kind == 'f' then
    return it.reset
  elseif it.count > spare then
    return it.reset + it.span - math.floor(spare * it.span / it.count)
  elseif it.previous > 0 then
    local elapsed = it.span - math.floor((spare - it.count) * it.span / it.previous)
    return it.index * it.span + elapsed - now
  end
  return it.reset
end

local function save_window(it)
  redis.call('HSET', it.key, 'w', text(it.index), 'c', text(it.count), 'p', text(it.previous))
  redis.call('PEXPIRE', it.key, text(it.reset + (it.kind == 's' and it.span or KEEP_MS)))
end

local function open_slots(it)
  it.index, it.reset, it.dead = 0, it.span, {}
  local others, own, first, last = 0, 0, nil, now
  local fields = redis.call('HGETALL', it.key)
  for at = 1, #fields, 2 do
    local count, ends = string.match(fields[at + 1], '^(%d+):(%d+)$')
    count, ends = tonumber(count), tonumber(ends)
    if not count or ends <= now then
      table.insert(it.dead, fields[at])
    elseif fields[at] == it.a then
      own = count
    else
      others = others + count
      first, last = math.min(first or ends, ends), math.max(last, ends)
    end
  end
  it.first, it.last = first, last
  it.free = math.max(0, it.limit - others)
  it.left = math.max(0, it.free - own)
  -- What a holder has is its own, even when the limit has shrunk since.
  it.available = math.max(it.free, own)
  it.changed = own > 0 or #it.dead > 0
end

local function slots_retry(it)
  return it.first and math.min(SLOTS_RETRY_MS, it.first - now) or SLOTS_RETRY_MS
end

local function save_slots(it)
  for _, holder in ipairs(it.dead) do
    redis.call('HDEL', it.key, holder)
  end
  if it.granted > 0 then
    it.last = math.max(it.last, now + it.span)
    redis.call('HSET', it.key, it.a, text(it.granted) .. ':' .. text(now + it.span))
  else
    redis.call('HDEL', it.key, it.a)
  end
  redis.call('PEXPIRE', it.key, text(it.last - now + KEEP_MS))
end

local all, refused, retry = {}, 0, 0
for at = 1, #KEYS do
  local it = read(at)
  local slots = it.kind == 'h'
  if slots then open_slots(it) else open_window(it) end
  if it.available < it.cost then
    local wait = math.max(1, slots and slots_retry(it) or window_retry(it))
    if wait > retry then
      refused, retry = at, wait
    end
  end
  all[at] = it
end

local answer = { refused, retry }
for _, it in ipairs(all) do
  it.granted = 0
  if refused == 0 then
    it.granted = math.min(it.want, math.max(it.cost, math.floor(it.available / SHARE)))
  end
  if it.kind ~= 'h' then
    it.count, it.left = it.count + it.granted, it.left - it.granted
    if it.granted > 0 or it.changed then save_window(it) end
  elseif refused == 0 then
    it.left = math.max(0, it.free - it.granted)
    if it.granted > 0 or it.changed then save_slots(it) end
  end
  for _, number in ipairs({ it.granted, it.index, it.left, it.reset }) do
    table.insert(answer, number)
  end
end
return answer
