-- Releases the use of a promotion by an order, once.
--
-- KEYS: the promotion; its uses by customer; the order; the index by order; that by rank.
-- ARGV: the code; the order's id; how many seconds redemptions are kept.
-- Returns RELEASED (now or by an earlier call), or REDEMPTION_MISMATCH when the order redeemed
-- another code. An order that redeemed none is marked RELEASED, so that it cannot redeem later.

local promotion, by_user, order, by_order, by_rank = unpack(KEYS)
local code, order_id = ARGV[1], ARGV[2]

local known = redis.call('HMGET', order, 'state', 'code', 'user')
if known[1] == 'RELEASED' then
  return 'RELEASED'
end
if known[1] and known[2] ~= code then
  return 'REDEMPTION_MISMATCH'
end

if known[1] then
  redis.call('HINCRBY', promotion, 'used', -1)
  local discount = redis.call('HGET', promotion, 'discount_percentage')
  redis.call('ZADD', by_rank, 0, string.format('%03d:%s', 100 - discount, code))
  local uses = tonumber(redis.call('HGET', by_user, known[3]) or 0) -- none: they have expired
  if uses > 1 then
    redis.call('HINCRBY', by_user, known[3], -1)
  elseif uses == 1 then
    redis.call('HDEL', by_user, known[3])
  end
end
redis.call('HSET', order, 'state', 'RELEASED', 'code', code)
redis.call('EXPIRE', order, ARGV[3])
redis.call('ZADD', by_order, 0, order_id)
return 'RELEASED'
