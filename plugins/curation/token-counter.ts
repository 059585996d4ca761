import { Tokenizer } from '@huggingface/tokenizers';
import { hastenLongPieces, longPiece, type PairModel } from './long-piece.js';

/** `tokenizer.json`, as far as it is looked at. */
export interface TokenizerFile {
  readonly normalizer?: { readonly type: string } | null;
  readonly pre_tokenizer?: {
    readonly type: string;
    readonly pretokenizers?: readonly {
      readonly type: string;
      readonly behavior?: string;
      readonly invert?: boolean;
      readonly use_regex?: boolean;
      readonly add_prefix_space?: boolean;
    }[];
  } | null;
  readonly added_tokens?: readonly { readonly content: string }[];
}

/** What the library makes of such a file; its own types name no more than the class. */
interface SplittingTokenizer {
  readonly pre_tokenizer: {
    readonly tokenizers: readonly [
      { readonly pattern: RegExp | null },
      { pre_tokenize_text(text: string, options: object): string[] },
    ];
  };
  readonly model: PairModel & { encode(pieces: readonly string[]): readonly string[] };
}

/** Pieces whose counts are remembered; then they are forgotten, all at once. */
const cacheSize = 500_000;
/**
 * What counts the tokens of a text, none added. Tokenizers that split a text by an expression and encode each piece by
 * itself (those of Qwen, Llama 3, GPT-2's family) encode each piece once; the others encode every text.
 */
export function tokenCounter(file: TokenizerFile, config: object): (text: string) => number {
  const tokenizer = new Tokenizer(file, config);
  hastenLongPieces(tokenizer.model as unknown as PairModel);
  const encoded = (text: string) => tokenizer.encode(text, { add_special_tokens: false }).ids.length;
  const [split, byteLevel, ...more] = file.pre_tokenizer?.pretokenizers ?? [];
  const isSplit =
    file.pre_tokenizer?.type === 'Sequence' &&
    (file.normalizer === null || file.normalizer?.type === 'NFC') &&
    split?.type === 'Split' &&
    split.behavior === 'Isolated' &&
    split.invert !== true &&
    byteLevel?.type === 'ByteLevel' &&
    byteLevel.use_regex === false &&
    byteLevel.add_prefix_space !== true &&
    more.length === 0;
  if (!isSplit) return encoded;
  const { model, pre_tokenizer } = tokenizer as unknown as SplittingTokenizer;
  const [{ pattern }, bytes] = pre_tokenizer.tokenizers;
  if (pattern === null) return encoded;
  const added = (file.added_tokens ?? []).map(({ content }) => content.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'));
  const hasAdded = new RegExp(added.length === 0 ? '(?!)' : added.join('|'), 'u');
  const known = new Map<string, number>();
  const encode = (piece: string) => model.encode(bytes.pre_tokenize_text(piece, {})).length;
  const countOf = (piece: string): number => {
    // What is no word hardly comes again.
    if (piece.length >= longPiece) return encode(piece);
    const remembered = known.get(piece);
    if (remembered !== undefined) return remembered;
    const count = encode(piece);
    if (known.size === cacheSize) known.clear();
    known.set(piece, count);
    return count;
  };
  // Where one piece ends the next one begins: looked for there only, and without a match's object.
  const next = new RegExp(pattern.source, pattern.flags.replace('g', 'y'));
  const counts = (text: string): number => {
    let count = 0;
    let unmatched = 0;
    for (let at = 0; at < text.length; at = next.lastIndex) {
      next.lastIndex = at;
      if (next.test(text) && next.lastIndex > at) {
        if (unmatched < at) count += countOf(text.slice(unmatched, at));
        unmatched = next.lastIndex;
        count += countOf(text.slice(at, unmatched));
      } else next.lastIndex = at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
    }
    return unmatched < text.length ? count + countOf(text.slice(unmatched)) : count;
  };
  return (text) =>
    hasAdded.test(text) ? encoded(text) : counts(file.normalizer === null ? text : text.normalize('NFC'));
}
