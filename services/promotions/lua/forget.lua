-- Removes an order from the index by order, if its redemption has expired.
--
-- KEYS: the order; the index by order.
-- ARGV: the order's id.
-- One step: the order may redeem, or release, at this moment.

if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('ZREM', KEYS[2], ARGV[1])
end
