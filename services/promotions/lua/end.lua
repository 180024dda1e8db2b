-- Ends a promotion, unless it has ended: it is then valid at no moment from now on.
--
-- KEYS: the promotion; the index by end; the index by rank.
-- ARGV: now, in microseconds since 1970; the promotion's rank.

local promotion, by_end, by_rank = KEYS[1], KEYS[2], KEYS[3]
local now, rank = ARGV[1], ARGV[2]

local valid = redis.call('HMGET', promotion, 'valid_from', 'valid_until')
if not valid[2] or tonumber(valid[2]) <= tonumber(now) then
  return
end

-- One that has not begun has ended too, and is not "not valid yet".
if tonumber(valid[1]) > tonumber(now) then
  redis.call('HSET', promotion, 'valid_from', now)
end
redis.call('HSET', promotion, 'valid_until', now)
redis.call('ZADD', by_end, now, rank)
redis.call('ZREM', by_rank, rank)
