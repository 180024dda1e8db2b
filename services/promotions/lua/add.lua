-- Adds a promotion and its event, unless its code is taken.
--
-- KEYS: the promotion; the index by end; the outbox; the index by rank.
-- ARGV: the id of this creation; the promotion's rank and its end, for the index;
--       the number of arguments of the promotion; those, as field, value, field, value...;
--       the event in the same form, or nothing for no event.
-- Returns ADDED or EXISTS. A creation that the driver sends twice, because the first answer
-- was lost, returns ADDED both times and adds once.

local promotion, by_end, outbox, by_rank = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local creation, rank, ends, count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local known = redis.call('HGET', promotion, 'creation')
if known then
  return known == creation and 'ADDED' or 'EXISTS'
end

redis.call('HSET', promotion, 'creation', creation, unpack(ARGV, 5, 4 + count))
redis.call('ZADD', by_end, ends, rank)
redis.call('ZADD', by_rank, 0, rank)
if #ARGV > 4 + count then
  redis.call('XADD', outbox, '*', unpack(ARGV, 5 + count))
end
return 'ADDED'
