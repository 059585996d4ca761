// AssemblyScript: the loops over all words of all texts, four times as fast as in JavaScript. They know only addresses in
// their memory; `words.ts`, `near-sketch.ts`, `near-bounds.ts` and `ngram-index.ts` beside this folder say what lies there.

/** By code point below 0x10000: what `kindOfCharacter` says. */
const kinds: usize = 0;

/** Of a word in `writeWords`: its hash, where it starts, where it ends. */
const wordBytes = 16;
const startAt = 8;
const endAt = 12;

const beyondAscii: u64 = 0x8080808080808080;
const factor: u64 = 0x9e3779b97f4a7c15;

/** Bits for the bytes of a vector that are white space of ASCII. Python's `str.split()` does so at 0x1c to 0x1f too. */
function spacesIn(bytes: v128): i32 {
  const tabToReturn = i8x16.le_u(i8x16.sub(bytes, i8x16.splat(0x09)), i8x16.splat(0x0d - 0x09));
  const separatorToSpace = i8x16.le_u(i8x16.sub(bytes, i8x16.splat(0x1c)), i8x16.splat(0x20 - 0x1c));
  return i8x16.bitmask(v128.or(tabToReturn, separatorToSpace));
}

/** How many bytes of a text are white space of ASCII. @param text followed by 16 bytes that are none of its own */
export function countSpaces(text: usize, size: i32): i32 {
  let count = 0;
  let at = 0;
  for (; at + 16 <= size; at += 16) count += popcnt(spacesIn(v128.load(text + at)));
  return count + popcnt(spacesIn(v128.load(text + at)) & ((1 << (size - at)) - 1));
}

/**
 * Writes the words of a text: what white space of ASCII parts, in lower case as far as ASCII goes.
 * @param text followed by 24 bytes of white space
 * @param words gets 16 bytes for each
 * @param wide gets the numbers of words in which there may be more white space or capitals, 32 bits each, and before them
 * how many these are
 * @returns how many words
 */
export function writeWords(text: usize, size: i32, words: usize, wide: usize): i32 {
  let word = words;
  let nextWide = wide + 4;
  let start = 0;
  for (let block = 0; block <= size; block += 16) {
    let spaces = spacesIn(v128.load(text + block));
    while (spaces !== 0) {
      const end = block + ctz(spaces);
      spaces &= spaces - 1;
      if (end > start) {
        const bytes = writeHash(text + start, end - start, word);
        if ((bytes & beyondAscii) !== 0 && !isPlain(text + start, text + end)) {
          store<i32>(nextWide, <i32>((word - words) / wordBytes));
          nextWide += 4;
        }
        store<i32>(word, start, startAt);
        store<i32>(word, end, endAt);
        word += wordBytes;
      }
      start = end + 1;
    }
  }
  store<i32>(wide, <i32>((nextWide - wide) / 4 - 1));
  return <i32>((word - words) / wordBytes);
}

/**
 * Writes the hash of a word in lower case, as far as ASCII goes.
 * @param start followed by 8 bytes at least @param size above 0
 * @returns its bytes, or-ed
 */
function writeHash(start: usize, size: i32, hash: usize): u64 {
  let value: u64 = <u64>size * factor;
  let all: u64 = 0;
  let at = start;
  let left = size;
  for (; left > 8; left -= 8) {
    const bytes = load<u64>(at);
    all |= bytes;
    value = stirred(value, bytes);
    at += 8;
  }
  const bytes = load<u64>(at) & (<u64>-1 >> ((<u64>(8 - left)) << 3));
  store<u64>(hash, stirred(value, bytes));
  return all | bytes;
}

function stirred(hash: u64, bytes: u64): u64 {
  const value = (hash ^ lowered(bytes)) * factor;
  return value ^ (value >> 29);
}

/** Eight bytes with the letters of ASCII among them in lower case. */
function lowered(bytes: u64): u64 {
  const sevens = bytes & ~beyondAscii;
  // The highest bit of each byte: at least A, not beyond Z, of ASCII.
  const isUpper = (sevens + 0x3f3f3f3f3f3f3f3f) & ~(sevens + 0x2525252525252525) & ~bytes & beyondAscii;
  return bytes | (isUpper >> 2);
}

/** Whether lower case changes nothing beyond ASCII, and no white space is there. Of UTF-8. */
function isPlain(start: usize, end: usize): bool {
  for (let at = start; at < end; ) {
    const lead = <u32>load<u8>(at);
    if (lead < 0x80) {
      at += 1;
      continue;
    }
    if (lead >= 0xf0) return false;
    const second = <u32>load<u8>(at, 1) & 0x3f;
    const code =
      lead < 0xe0
        ? ((lead & 0x1f) << 6) | second
        : ((lead & 0x0f) << 12) | (second << 6) | (<u32>load<u8>(at, 2) & 0x3f);
    if (load<u8>(kinds + code) !== 0) return false;
    at += lead < 0xe0 ? 2 : 3;
  }
  return true;
}

/** Writes the hash of one word, 64 bits. @param start as `writeWords` has the text */
export function hashWord(start: usize, size: i32, hash: usize): void {
  writeHash(start, size, hash);
}

/**
 * Writes 64-bit hashes of all runs of so many words. Each follows from the one before it.
 * @param words as `writeWords` writes them @param length from 1 to `count`
 */
export function hashRuns(words: usize, count: i32, length: i32, runs: usize): void {
  let power: u64 = 1;
  for (let step = 0; step < length; step++) power *= factor;
  let hash: u64 = 0;
  for (let at = 0; at < count; at++) {
    hash = hash * factor + load<u64>(words + at * wordBytes);
    if (at >= length) hash -= load<u64>(words + (at - length) * wordBytes) * power;
    if (at >= length - 1) store<u64>(runs + (at - length + 1) * 8, mixed(hash));
  }
}

/** The finalizer of MurmurHash3, of 64 bits. */
function mixed(value: u64): u64 {
  let hash = value ^ (value >> 33);
  hash *= 0xff51afd7ed558ccd;
  hash ^= hash >> 33;
  hash *= 0xc4ceb9fe1a85ec53;
  return hash ^ (hash >> 33);
}

const unfilled: u32 = 0xffffffff;

/**
 * Writes a signature of shingles: its value in each bin, 32 bits each.
 * @param shingles hashes of 64 bits, at least one
 * @param seeds of the rounds, 64 bits each, twice as many as there are bins
 * @param values gets one for each bin @param rounds gets for each bin the round that filled it
 */
export function sign(shingles: usize, count: i32, seeds: usize, bins: i32, values: usize, rounds: usize): void {
  memory.fill(rounds, 0xff, <usize>bins * 4);
  let left = bins;
  for (let round = 0; round < 2 * bins && left > 0; round++) {
    const seed = load<u64>(seeds + round * 8);
    for (let at = 0; at < count; at++) {
      const hash = mixed(load<u64>(shingles + at * 8) ^ seed);
      const value = <u32>(hash >> 32);
      // From the second half on, a round is for one bin, so that none stays empty.
      const bin = round < bins ? <i32>((<u64>(<u32>hash) * <u64>bins) >> 32) : round - bins;
      const filledIn = load<u32>(rounds + bin * 4);
      if (filledIn === unfilled) {
        store<u32>(rounds + bin * 4, round);
        store<u32>(values + bin * 4, value);
        left--;
      } else if (filledIn === <u32>round && value < load<u32>(values + bin * 4)) {
        store<u32>(values + bin * 4, value);
      }
    }
  }
}

/** Writes a key of 64 bits for each band of a signature. */
export function writeBands(values: usize, rounds: usize, bands: i32, bandRows: i32, keys: usize): void {
  for (let band = 0; band < bands; band++) {
    let key: u64 = 0;
    for (let row = 0; row < bandRows; row++) {
      const bin = (band * bandRows + row) * 4;
      key = mixed(key * factor + (((<u64>load<u32>(rounds + bin)) << 32) | <u64>load<u32>(values + bin)));
    }
    store<u64>(keys + band * 8, key);
  }
}

/**
 * The first of some hashes, from one on, whose two bits are set, as `ngram-index.ts` sets them.
 * @param bits 32 for each value that the high half of a hash has below `mask`, which is 2^n - 1
 * @returns its number, or `count`
 */
export function findSet(hashes: usize, count: i32, from: i32, bits: usize, mask: u32): i32 {
  for (let at = from; at < count; at++) {
    const low = load<u32>(hashes + at * 8);
    const high = load<u32>(hashes + at * 8, 4);
    const set = load<u32>(bits + (high & mask) * 4);
    if (((set >> (low & 31)) & (set >> ((low >> 5) & 31)) & 1) !== 0) return at;
  }
  return count;
}

/**
 * How many bits differ between two bitmaps. Of the longer one, all parts as long as the shorter one are xor-ed.
 * @param longSize in bytes, as the other one 16 times a power of 2, and not less
 */
export function countDifferences(long: usize, longSize: i32, short: usize, shortSize: i32): i32 {
  let counts = i32x4.splat(0);
  for (let at = 0; at < shortSize; at += 16) {
    let bits = v128.load(short + at);
    for (let part = at; part < longSize; part += shortSize) bits = v128.xor(bits, v128.load(long + part));
    const pairs = i16x8.extadd_pairwise_i8x16_u(i8x16.popcnt(bits));
    counts = i32x4.add(counts, i32x4.extadd_pairwise_i16x8_u(pairs));
  }
  return (
    i32x4.extract_lane(counts, 0) +
    i32x4.extract_lane(counts, 1) +
    i32x4.extract_lane(counts, 2) +
    i32x4.extract_lane(counts, 3)
  );
}
