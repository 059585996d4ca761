import { readFileSync } from 'node:fs';
import { type StartWork, textIn, UserError } from 'simmerkit';
import { type TokenizerFile, tokenCounter } from './token-counter.js';

export interface TokenizerSettings {
  readonly column: string;
  /** Absolute paths of tokenizer.json and tokenizer_config.json. */
  readonly files: readonly [tokenizer: string, config: string];
}

/** Tokens of each row. @throws UserError `tokenizer_invalid` */
export const start: StartWork<TokenizerSettings, Uint32Array> = ({ column, files }) => {
  const [tokenizer, config] = files.map(readJson) as [TokenizerFile, object];
  const count = tokenCounter(tokenizer, config);
  return (rows) => Uint32Array.from(rows, (row) => count(textIn(row, column) ?? ''));
};

function readJson(file: string): object {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as object;
  } catch (error) {
    throw new UserError('tokenizer_invalid', `${file} is not a tokenizer: ${(error as Error).message}.`, {
      kind: 'runFailed',
      hint: 'The model folder must have tokenizer.json and tokenizer_config.json as transformers writes them.',
      cause: error,
    });
  }
}
