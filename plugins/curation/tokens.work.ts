import type { StartTextWork } from './compared-text.js';
import { type TokenizerFile, tokenCounter } from './token-counter.js';

/** What the files of a model's tokenizer hold: JSON. */
export interface TokenizerTexts {
  readonly tokenizer: string;
  readonly config: string;
}

/** Tokens of each text. */
export const start: StartTextWork<TokenizerTexts, Uint32Array> = ({ tokenizer, config }) => {
  const count = tokenCounter(JSON.parse(tokenizer) as TokenizerFile, JSON.parse(config) as object);
  return (texts) => Uint32Array.from(texts, count);
};
