-- Redeems a promotion for an order: counts one use, once.
--
-- KEYS: the promotion; its uses by customer; the order; the index by order; that by rank.
-- ARGV: the code; the order's id; the customer; now, in microseconds since 1970; how many seconds
--       redemptions are kept, and the uses by customer after the promotion's end.
-- Returns REDEEMED (now or by an earlier call), or the reason of the rejection.
-- The rule is that of `domain.find_rejection`, repeated here because checking and counting
-- must be one atomic step.

local promotion, by_user, order, by_order, by_rank = unpack(KEYS)
local code, order_id, user, now = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local retention = tonumber(ARGV[5])

local function is_reached(limit, count)
  limit = tonumber(limit)
  return limit > 0 and tonumber(count) >= limit
end

local known = redis.call('HMGET', order, 'state', 'code', 'user')
if known[1] == 'RELEASED' then
  return 'REDEMPTION_RELEASED'
end
if known[1] then
  local same = known[2] == code and known[3] == user
  return same and 'REDEEMED' or 'REDEMPTION_MISMATCH'
end

local rules = redis.call('HMGET', promotion,
  'valid_from', 'valid_until', 'max_uses', 'max_uses_per_user', 'used', 'discount_percentage')
if not rules[1] then
  return 'CODE_UNKNOWN'
end
if now < tonumber(rules[1]) then
  return 'CODE_NOT_STARTED'
end
if now >= tonumber(rules[2]) then
  return 'CODE_EXPIRED'
end
if is_reached(rules[3], rules[5]) then
  return 'CODE_EXHAUSTED'
end
if is_reached(rules[4], redis.call('HGET', by_user, user) or 0) then
  return 'CODE_ALREADY_USED'
end

local used = redis.call('HINCRBY', promotion, 'used', 1)
if is_reached(rules[3], used) then
  redis.call('ZREM', by_rank, string.format('%03d:%s', 100 - rules[6], code))
end
redis.call('HINCRBY', by_user, user, 1)
redis.call('EXPIREAT', by_user, math.floor(tonumber(rules[2]) / 1000000) + retention)
redis.call('HSET', order, 'state', 'REDEEMED', 'code', code, 'user', user, 'at', ARGV[4])
redis.call('EXPIRE', order, retention)
redis.call('ZADD', by_order, 0, order_id)
return 'REDEEMED'
