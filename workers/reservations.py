"""The quota's state in Redis, and the scripts that change it. Each is atomic, and tells the time by Redis's own clock.

Everything is in one hash, so that Redis loses all of it or nothing:

    terms                 names the state that reservations were made in; another name means: reserve again
    requests, tokens      when each limit is next free (virtual scheduling, GCRA), in microseconds
    pause                 when the provider may be asked again after a 429
    announced_*, heard    the limits that the provider's headers name, and when they were heard last
    learning              until when what headers say is left also moves the limits: see SETTLE
    measured_requests     the limit that was found by being refused, and since when it counts: see PAUSE
    measured, accepted, marked

Terms change when Redis loses its memory, when a pause begins, and when a lower limit becomes known. Whoever waits
with a reservation made before reserves anew when it wakes, so that none of the three lets the waiting ones through
on top of the new.
"""

# KEYS[1]: the hash. Every script begins with ARGV[1] requests and ARGV[2] tokens a minute as they are set, 0 is no
# limit; ARGV[3] and ARGV[4]: as this process heard them announced, in case that Redis has forgotten
_COMMON = """
local SECOND, MINUTE = 1000000, 60000000
-- A minute's worth is spread over a little more than a minute: whoever counts by a window of 60 seconds, wherever
-- it begins, counts no more than the limit, even if answers are late and sizes differ
local SPREAD = 60700000
-- What may go at once after idling
local BURST = 250000
local time = redis.call('TIME')
local now = time[1] * SECOND + time[2]
local KINDS = {'requests', 'tokens'}

local function get(field) return tonumber(redis.call('HGET', KEYS[1], field) or '0') end
local function set(field, value) redis.call('HSET', KEYS[1], field, string.format('%.0f', value)) end

local function limit(index)
  local kind, least = KINDS[index], 0
  local announced = get('heard') > now - 10 * MINUTE and get('announced_' .. kind) or tonumber(ARGV[2 + index])
  local measured = 0
  if index == 1 and get('measured') > now - 10 * MINUTE then
    -- It grows by 2 % a minute, so that a provider that allows more is found out
    measured = get('measured_requests') * 1.02 ^ ((now - get('measured')) / MINUTE)
  end
  for _, one in ipairs({tonumber(ARGV[index]), announced, measured}) do
    if one > 0 and (least == 0 or one < least) then least = one end
  end
  return least
end

local function new_terms(free_at)
  set('terms', math.max(now, get('terms') + 1))
  for _, kind in ipairs(KINDS) do set(kind, free_at) end
end
"""

# ARGV[5]: the terms of a reservation that is held already, or nothing; ARGV[6]: tokens.
# Answers the microseconds to wait, and the terms
RESERVE = (
    _COMMON
    + """
local pause = math.max(0, get('pause') - now)
local terms = redis.call('HGET', KEYS[1], 'terms')
if terms and terms == ARGV[5] then return {pause, terms} end
if not terms then
  new_terms(now)
  terms = redis.call('HGET', KEYS[1], 'terms')
end
local costs, send_at = {}, now + pause
for index, amount in ipairs({1, tonumber(ARGV[6])}) do
  local most = limit(index)
  if most > 0 then
    costs[index] = amount * SPREAD / most
    send_at = math.max(send_at, get(KINDS[index]) - BURST)
  end
end
for index, cost in pairs(costs) do
  set(KINDS[index], math.max(get(KINDS[index]), send_at) + cost)
end
redis.call('PEXPIRE', KEYS[1], 86400000 + math.ceil((send_at - now) / 1000))
return {math.ceil(send_at - now), terms}
"""
)

# ARGV[5]: the terms of the reservation; ARGV[6], ARGV[7]: requests and tokens to charge on top of it, or to give back;
# ARGV[8]: 1 for an answer with vectors; ARGV[9] to ARGV[12]: requests and tokens a minute as announced, and left.
# Who hears for the first time that less is allowed has sent a burst already. For ten seconds the limits are moved to
# where they would be if it had been charged for what the provider says is used
SETTLE = (
    _COMMON
    + """
if redis.call('HGET', KEYS[1], 'terms') == ARGV[5] then
  for index, kind in ipairs(KINDS) do
    local most, amount = limit(index), tonumber(ARGV[5 + index])
    if most > 0 and amount ~= 0 then set(kind, get(kind) + amount * SPREAD / most) end
  end
end
redis.call('HINCRBY', KEYS[1], 'accepted', ARGV[8])
local announced = {tonumber(ARGV[9]), tonumber(ARGV[10])}
if announced[1] + announced[2] > 0 then
  local before = {limit(1), limit(2)}
  for index, kind in ipairs(KINDS) do set('announced_' .. kind, announced[index]) end
  set('heard', now)
  local lower = false
  for index = 1, 2 do
    local most = limit(index)
    lower = lower or most > 0 and (before[index] == 0 or most < before[index])
  end
  if lower then
    new_terms(now)
    set('learning', now + 10 * SECOND)
  end
  if now < get('learning') then
    for index, kind in ipairs(KINDS) do
      if announced[index] > 0 then
        local used = announced[index] - tonumber(ARGV[10 + index])
        local began = get('learning') - 10 * SECOND
        set(kind, math.max(get(kind), began + used * SPREAD / announced[index]))
      end
    end
  end
end
"""
)

# ARGV[5]: microseconds. A pause is only ever made longer: of two workers that were refused, the one told to wait
# longest is right. Refusals during a pause are answers to the same excess; one that begins a pause says that the
# provider was full. What it accepted between two such moments is its rate, where no header tells it. Requests are
# counted and not tokens: those of one chunk are about equally large, and too low a guess at a minute's tokens would
# hold a large one up for long
PAUSE = (
    _COMMON
    + """
local ends = now + tonumber(ARGV[5])
if get('pause') <= now then
  local since = now - get('marked')
  if since >= 5 * SECOND then
    if since <= 2 * MINUTE and get('accepted') >= 20 then
      set('measured_requests', get('accepted') * MINUTE / since * 0.98)
      set('measured', now)
    end
    set('marked', now)
    set('accepted', 0)
  end
  new_terms(ends)
end
set('pause', math.max(ends, get('pause')))
redis.call('PEXPIRE', KEYS[1], 86400000 + math.ceil(tonumber(ARGV[5]) / 1000))
"""
)
