-- Adds a promotion, with the event that tells of it, unless its code is taken.
--
-- KEYS: the promotion; the index by end; the outbox.
-- ARGV: the id of this creation; the promotion's rank and its end, for the index;
--       how many arguments follow for the promotion; those, as field and value in turn;
--       then likewise the event, or nothing when there is none.
-- Returns ADDED or EXISTS. A creation that is sent twice, because its answer was lost on
-- the way, is ADDED both times and done once.

local promotion, by_end, outbox = KEYS[1], KEYS[2], KEYS[3]
local creation, rank, ends, count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local known = redis.call('HGET', promotion, 'creation')
if known then
  return known == creation and 'ADDED' or 'EXISTS'
end

redis.call('HSET', promotion, 'creation', creation, unpack(ARGV, 5, 4 + count))
redis.call('ZADD', by_end, ends, rank)
if #ARGV > 4 + count then
  redis.call('XADD', outbox, '*', unpack(ARGV, 5 + count))
end
return 'ADDED'
