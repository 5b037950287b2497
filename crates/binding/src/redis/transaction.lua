-- Commits one transaction in one partition: the whole of it or nothing.
--
-- A script of Redis that fails half-way keeps what it wrote. So the first pass only looks: guards in
-- order, then what each write needs (types, ranges, something to move), in order and with regard to
-- the writes before it. The second pass writes in the same order and can no longer fail. The reads
-- come last.
--
-- KEYS: every key that the operations name, by number.
-- ARGV: the numbers of guards, writes and reads; then four arguments for each operation (its name, a
--   key, two more); the read 'fields' is followed by as many fields as its third says, the read 'page' by
--   its length.
-- Fields hold integers in decimal, or '=' and bytes.
-- Answer: 0 and the reads; or 1, the guard, what it saw, and the reads; or 2, the write, and the
--   reads; or 3, what is invalid.

local call, byte, sub = redis.call, string.byte, string.sub

local COMMITTED, GUARD_FAILED, NOTHING_TO_MOVE, INVALID = 0, 1, 2, 3
local NOT_AN_INTEGER, OVERFLOW = 0, 1
-- Beyond it Lua's numbers, which are doubles, skip integers.
local INTEGER_MAX = 9007199254740991
local BYTES_MARK = 61 -- '='
local ENTRY_BYTES = 7
-- The low 12 bits of an entry are its offset in the chunk, and 4,032 of them are in use.
local OFFSETS = 4096
local BITMAP_BYTES = 504
-- A bitmap costs 604 bytes with its key, an entry about 7.5.
local ENTRIES_OF_A_CHUNK_MAX = 80

local function key(number)
  return KEYS[tonumber(number)]
end

-- Stops before anything is written: what is stored is not ours.
local function unusable(name)
  error({err = 'UNUSABLE ' .. name .. ' holds something else'})
end

-- Maps, as they will be -----------------------------------------------------------------------------

local known = {}   -- keys whose type has been checked by a command
local changed = {} -- key -> field -> value, or false where it is gone
local dropped = {} -- keys of which nothing but `changed` is left

local function check_map(name)
  if not known[name] then
    call('HLEN', name)
    known[name] = true
  end
end

-- The value of a field, or false.
local function look(name, field)
  local fields = changed[name]
  if fields and fields[field] ~= nil then return fields[field] end
  if dropped[name] then return false end
  known[name] = true
  return call('HGET', name, field)
end

local function change(name, field, value)
  local fields = changed[name]
  if not fields then
    fields = {}
    changed[name] = fields
  end
  fields[field] = value
end

-- Any field of a map, or nil.
local function any_field(name)
  local fields, gone = changed[name] or {}, 0
  for field, value in pairs(fields) do
    if value then return field end
    gone = gone + 1
  end
  if dropped[name] then return nil end
  known[name] = true
  for _, field in ipairs(call('HRANDFIELD', name, gone + 1)) do
    if fields[field] == nil then return field end
  end
  return nil
end

-- The integer in a value, or nil where it holds bytes. Absent counts as 0.
local function integer(value, name)
  if not value then return 0 end
  if byte(value) == BYTES_MARK then return nil end
  return tonumber(value) or unusable(name)
end

-- Ordered sets: sorted sets in which every score is 0, so that Redis orders members by their bytes. ---

local function check_ordered(name)
  call('ZCARD', name)
end

local function has_member(name, member)
  return call('ZSCORE', name, member) and 1 or 0
end

-- Id sets -------------------------------------------------------------------------------------------

local bitmaps = {} -- key -> whether there is one
local buckets = {} -- key -> entries
local full = {}    -- keys of buckets that changed

local function has_bitmap(name)
  if bitmaps[name] == nil then
    local bytes = call('STRLEN', name)
    if bytes ~= 0 and bytes ~= BITMAP_BYTES then unusable(name) end
    bitmaps[name] = bytes ~= 0
  end
  return bitmaps[name]
end

local function bucket_of(name)
  local entries = buckets[name]
  if not entries then
    entries = call('GET', name) or ''
    if #entries % ENTRY_BYTES ~= 0 then unusable(name) end
    buckets[name] = entries
  end
  return entries
end

-- The number of the entry at a place, counted from 0. Strings are not compared, because Lua would
-- follow the server's locale.
local function number_at(entries, place)
  local a, b, c, d, e, f, g = byte(entries, place * 7 + 1, place * 7 + 7)
  return (((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) * 256 + g
end

-- The place of the first entry that is not below a number.
local function place_of(entries, number)
  local low, high = 0, #entries / ENTRY_BYTES
  while low < high do
    local middle = math.floor((low + high) / 2)
    if number_at(entries, middle) < number then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

local function is_at(entries, place, number)
  return place * ENTRY_BYTES < #entries and number_at(entries, place) == number
end

local function is_within(entries, place, chunk)
  if place < 0 or place * ENTRY_BYTES >= #entries then return false end
  local number = number_at(entries, place)
  return number >= chunk and number < chunk + OFFSETS
end

local function contains(bitmap, bucket, entry)
  local number = number_at(entry, 0)
  if has_bitmap(bitmap) then return call('GETBIT', bitmap, number % OFFSETS) end
  local entries = bucket_of(bucket)
  return is_at(entries, place_of(entries, number), number) and 1 or 0
end

local function set_bucket(name, entries)
  buckets[name] = entries
  full[name] = true
end

-- Moves the entries from `first` to before `last`, and one more number, into a bitmap. It is written
-- at its full length at once, so that Redis never makes it longer, which would double it.
local function promote(bitmap, entries, first, last, number)
  local bytes = {}
  for index = 1, BITMAP_BYTES do bytes[index] = 0 end
  local function set(offset)
    local index = math.floor(offset / 8) + 1
    bytes[index] = bytes[index] + 2 ^ (7 - offset % 8)
  end
  for place = first, last - 1 do set(number_at(entries, place) % OFFSETS) end
  set(number % OFFSETS)
  call('SET', bitmap, string.char(unpack(bytes)))
  bitmaps[bitmap] = true
end

local function insert(bitmap, bucket, entry)
  local number = number_at(entry, 0)
  if has_bitmap(bitmap) then
    call('SETBIT', bitmap, number % OFFSETS, 1)
    return
  end
  local entries = bucket_of(bucket)
  local place = place_of(entries, number)
  if is_at(entries, place, number) then return end
  local first, last = place, place
  local chunk = number - number % OFFSETS
  -- A chunk as large as that has an entry this far to the left or to the right.
  local far = ENTRIES_OF_A_CHUNK_MAX / 2
  if is_within(entries, place - far, chunk) or is_within(entries, place + far - 1, chunk) then
    first, last = place_of(entries, chunk), place_of(entries, chunk + OFFSETS)
  end
  if last - first + 1 >= ENTRIES_OF_A_CHUNK_MAX then
    promote(bitmap, entries, first, last, number)
    entry = ''
  else
    first, last = place, place
  end
  set_bucket(bucket, sub(entries, 1, first * 7) .. entry .. sub(entries, last * 7 + 1))
end

local function remove(bitmap, bucket, entry)
  local number = number_at(entry, 0)
  if has_bitmap(bitmap) then
    call('SETBIT', bitmap, number % OFFSETS, 0)
    if call('BITCOUNT', bitmap) == 0 then
      call('DEL', bitmap)
      bitmaps[bitmap] = false
    end
    return
  end
  local entries = bucket_of(bucket)
  local place = place_of(entries, number)
  if is_at(entries, place, number) then
    set_bucket(bucket, sub(entries, 1, place * 7) .. sub(entries, place * 7 + 8))
  end
end

-- The first pass: guards ----------------------------------------------------------------------------

local guards, writes, reads = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local first_write = 4 + 4 * guards
local first_read = first_write + 4 * writes
local answer

for index = 0, guards - 1 do
  local at = 4 + 4 * index
  local operation, name, third, fourth = ARGV[at], key(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  local holds, seen
  if operation == 'in' or operation == 'out' then
    seen = contains(name, key(third), fourth)
    holds = (seen == 1) == (operation == 'in')
  elseif operation == 'has' or operation == 'lacks' then
    seen = has_member(name, third)
    holds = (seen == 1) == (operation == 'has')
  elseif operation == 'size' then
    seen = call('HLEN', name)
    known[name] = true
    holds = seen <= tonumber(third)
  else
    seen = look(name, third)
    if operation == 'absent' then
      holds = not seen
    elseif operation == 'present' then
      holds = seen ~= false
    elseif operation == 'equals' then
      holds = seen == fourth
    else
      local number = integer(seen, name)
      if not number then return {INVALID, NOT_AN_INTEGER} end
      if operation == 'at-least' then
        holds = number >= tonumber(fourth)
      else
        holds = number <= tonumber(fourth)
      end
    end
  end
  if not holds then
    answer = {GUARD_FAILED, index, seen}
    break
  end
end

-- The first pass: what the writes need --------------------------------------------------------------

local sums = {}   -- write -> the sum
local chosen = {} -- write -> the field that it moves
local moved = {}  -- write -> the value that it moves

if not answer then
  for index = 0, writes - 1 do
    local at = first_write + 4 * index
    local operation, name, third, fourth = ARGV[at], key(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
    if operation == 'insert' or operation == 'remove' then
      has_bitmap(name)
      bucket_of(key(third))
    elseif operation == 'add-member' or operation == 'remove-member' then
      check_ordered(name)
    elseif operation == 'set' then
      check_map(name)
      change(name, third, fourth)
    elseif operation == 'add' then
      local number = integer(look(name, third), name)
      if not number then return {INVALID, NOT_AN_INTEGER} end
      local sum = number + tonumber(fourth)
      if sum > INTEGER_MAX or sum < -INTEGER_MAX then return {INVALID, OVERFLOW} end
      sums[index] = string.format('%.0f', sum)
      change(name, third, sums[index])
    elseif operation == 'unset' then
      check_map(name)
      change(name, third, false)
    elseif operation == 'drop' then
      check_map(name)
      changed[name] = nil
      dropped[name] = true
    elseif operation == 'move' then
      local field = any_field(name)
      if not field then
        answer = {NOTHING_TO_MOVE, index}
        break
      end
      local to = key(third)
      check_map(to)
      chosen[index], moved[index] = field, look(name, field)
      change(name, field, false)
      change(to, fourth, moved[index])
    else -- collect, keep
      check_map(name)
    end
  end
end

-- How many arguments follow the four of a read.
local function further(operation, third)
  if operation == 'fields' then return tonumber(third) end
  return operation == 'page' and 1 or 0
end

-- What is read must be ours before the first write, too.
if writes > 0 then
  local at = first_read
  for _ = 1, reads do
    if ARGV[at] == 'contains' then
      has_bitmap(key(ARGV[at + 1]))
      bucket_of(key(ARGV[at + 2]))
    elseif ARGV[at] == 'page' or ARGV[at] == 'count' or ARGV[at] == 'has' then
      check_ordered(key(ARGV[at + 1]))
    elseif ARGV[at] ~= 'clock' then
      check_map(key(ARGV[at + 1]))
    end
    at = at + 4 + further(ARGV[at], ARGV[at + 2])
  end
end

-- The second pass -----------------------------------------------------------------------------------

if not answer then
  answer = {COMMITTED}
  for index = 0, writes - 1 do
    local at = first_write + 4 * index
    local operation, name, third, fourth = ARGV[at], key(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
    if operation == 'set' then
      call('HSET', name, third, fourth)
    elseif operation == 'add' then
      call('HSET', name, third, sums[index])
    elseif operation == 'unset' then
      call('HDEL', name, third)
    elseif operation == 'drop' then
      call('DEL', name)
    elseif operation == 'move' then
      call('HDEL', name, chosen[index])
      call('HSET', key(third), fourth, moved[index])
    elseif operation == 'insert' then
      insert(name, key(third), fourth)
    elseif operation == 'remove' then
      remove(name, key(third), fourth)
    elseif operation == 'add-member' then
      call('ZADD', name, 0, third)
    elseif operation == 'remove-member' then
      call('ZREM', name, third)
    elseif operation == 'keep' then
      call('PERSIST', name)
    else -- collect
      call('PEXPIREAT', name, third)
    end
  end
  for name in pairs(full) do
    -- Set as a whole, not appended to: Redis would double a string that it makes longer.
    if buckets[name] == '' then call('DEL', name) else call('SET', name, buckets[name]) end
  end
end

-- The reads -----------------------------------------------------------------------------------------

local size = #answer
-- A value that is absent would end the answer there if it were nil; false becomes a null.
local function add(value)
  size = size + 1
  answer[size] = value
end

local function add_all(values)
  for index = 1, #values do add(values[index]) end
end

local at = first_read
for _ = 1, reads do
  local operation, name, third, fourth = ARGV[at], key(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  at = at + 4
  if operation == 'contains' then
    add(contains(name, key(third), fourth))
  elseif operation == 'fields' then
    add_all(call('HMGET', name, unpack(ARGV, at, at + tonumber(third) - 1)))
  elseif operation == 'has' then
    add(has_member(name, third))
  elseif operation == 'page' then
    local members = call('ZRANGEBYLEX', name, third, fourth, 'LIMIT', 0, ARGV[at])
    add(#members)
    add_all(members)
  elseif operation == 'count' then
    add(call('ZLEXCOUNT', name, third, fourth))
  elseif operation == 'clock' then
    -- Effects are what is replicated, so that a script may ask. A user who may not is told nothing.
    local time = redis.pcall('TIME')
    add(not time.err and time[1])
    add(not time.err and time[2])
  else -- size, all
    local fields = call('HLEN', name)
    add(fields)
    if operation == 'all' and fields <= tonumber(third) then add_all(call('HGETALL', name)) end
  end
  at = at + further(operation, third)
end
return answer
