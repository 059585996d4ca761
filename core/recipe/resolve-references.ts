import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { quoted } from '../document/describe-value.js';
import { suggestion } from '../document/nearest-name.js';
import { formatPath, type Path, pathKey } from '../document/path.js';
import { StageOutput, unresolved } from '../document/placeholders.js';
import type { ProblemList } from '../document/problem-list.js';
import type { Param, Params } from './params.js';
import { BadReference, formatReference, parseTemplate, type Reference } from './reference.js';

/** How much the params that are referred to may be together, so that a few lines cannot become gigabytes. */
const most: Size = { values: 200_000, characters: 2 ** 24 };

/** Of a value and all that is inside of it. */
interface Size {
  readonly values: number;
  readonly characters: number;
}

/** What of the settings a recipe may see, and how each is given. */
const settingNames: Readonly<Record<string, string>> = {
  dataFolder: 'Give the folder with the data: --data FOLDER, or set SIMMER_DATA.',
};

/** A tree whose params and settings are filled in, and whose references to stages are `StageOutput`s. */
interface Resolved {
  readonly value: unknown;
  /** `pathKey` of each value that had a reference, to the text that it had. */
  readonly writtenAs: ReadonlyMap<string, string>;
}

/** Fills in the references of a recipe's tree, apart from its params. */
export function resolveReferences(tree: unknown, values: ParamValues, problems: ProblemList): Resolved {
  const resolver = new Resolver(values, problems);
  return { value: resolver.resolve(tree, []), writtenAs: resolver.writtenAs };
}

class Resolver {
  readonly writtenAs = new Map<string, string>();
  readonly #values: ParamValues;
  readonly #problems: ProblemList;
  #brought: Size = { values: 0, characters: 0 };

  constructor(values: ParamValues, problems: ProblemList) {
    this.#values = values;
    this.#problems = problems;
  }

  resolve(value: unknown, path: Path): unknown {
    if (typeof value === 'string') return this.#resolveText(value, path);
    if (Array.isArray(value)) return value.map((item, index) => this.resolve(item, [...path, index]));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .filter(([key]) => path.length > 0 || key !== 'params')
        .map(([key, child]) => [key, this.resolve(child, [...path, key])]),
    );
  }

  #resolveText(text: string, path: Path): unknown {
    if (!text.includes('${{')) return text;
    this.writtenAs.set(pathKey(path), text);
    if (path[0] === 'plugins') {
      const message = `${formatPath(path)} must be plain text: plugins are loaded before references are followed.`;
      this.#problems.add('reference_not_allowed', message, path, { hint: 'Write the npm name or the path.' });
      return unresolved;
    }
    try {
      const template = parseTemplate(text);
      if (template.length === 1 && typeof template[0] === 'object') return this.#follow(template[0], path, text);
      const pieces = template.map((piece) =>
        typeof piece === 'string' ? piece : this.#followInText(piece, path, text),
      );
      return pieces.includes(unresolved) ? unresolved : pieces.map(String).join('');
    } catch (error) {
      if (!(error instanceof BadReference)) throw error;
      this.#problems.add('bad_reference', error.message, path, { hint: error.hint });
      return unresolved;
    }
  }

  #followInText(reference: Reference, path: Path, text: string): unknown {
    const value = this.#follow(reference, path, text);
    if (value === unresolved || ['string', 'number', 'boolean'].includes(typeof value)) return value;
    const message = `${formatReference(reference)} is ${value instanceof StageOutput ? 'an output' : 'no plain value'}, which cannot be part of a text.`;
    this.#problems.add('bad_reference', message, path, { hint: 'Let it be the whole value.' });
    return unresolved;
  }

  #follow(reference: Reference, path: Path, text: string): unknown {
    switch (reference.root) {
      case 'stages':
        return this.#stageOutput(reference.stage, reference.output, path, text);
      case 'settings':
        return this.#values.setting(reference.setting, path);
      case 'params':
        return this.#bring(reference.param, path);
    }
  }

  #bring(name: string, path: Path): unknown {
    if (!isWithin(this.#brought)) return unresolved;
    const value = this.#values.param(name, path);
    this.#brought = sumOf(this.#brought, sizeOf(value));
    if (isWithin(this.#brought)) return value;
    const message = `What the params stand for is too much here: over ${most.values} values, or ${most.characters} characters.`;
    this.#problems.add('too_large', message, path, {
      hint: 'Data belongs in files that the recipe names, not in the recipe.',
    });
    return unresolved;
  }

  #stageOutput(stage: string, output: string, path: Path, text: string): unknown {
    const isInput = path[0] === 'stages' && path[2] === 'with';
    if (isInput) return new StageOutput(stage, output);
    this.#problems.add(
      'reference_not_allowed',
      `${text} cannot be used here: outputs of stages are inputs of stages.`,
      path,
      {
        hint: "Such a reference belongs in a stage's `with`.",
      },
    );
    return unresolved;
  }
}

function sizeOf(value: unknown): Size {
  if (typeof value === 'string') return { values: 1, characters: value.length };
  if (typeof value !== 'object' || value === null) return { values: 1, characters: 0 };
  const inside = Array.isArray(value) ? value : Object.entries(value).flat();
  return inside.map(sizeOf).reduce(sumOf, { values: 1, characters: 0 });
}

function sumOf(one: Size, other: Size): Size {
  return { values: one.values + other.values, characters: one.characters + other.characters };
}

function isWithin({ values, characters }: Size): boolean {
  return values <= most.values && characters <= most.characters;
}

/** The values that `params.` and `settings.` lead to. A param is looked at only when something refers to it. */
export class ParamValues {
  readonly #params: Params;
  readonly #settings: Readonly<Record<string, unknown>>;
  readonly #problems: ProblemList;
  readonly #used = new Map<string, unknown>();

  constructor(params: Params, settings: Readonly<Record<string, unknown>>, problems: ProblemList) {
    this.#params = params;
    this.#settings = settings;
    this.#problems = problems;
  }

  /** The params that something referred to so far, with their values. */
  get used(): ReadonlyMap<string, unknown> {
    return this.#used;
  }

  setting(name: string, path: Path): unknown {
    if (!Object.hasOwn(settingNames, name)) {
      this.#problems.add('unknown_setting', `There is no setting "${name}" that a recipe may use.`, path, {
        hint: suggestion(name, Object.keys(settingNames)),
      });
      return unresolved;
    }
    const value = this.#settings[name];
    if (value !== undefined) return value;
    this.#problems.add('missing_setting', `\${{ settings.${name} }} is not set.`, path, { hint: settingNames[name] });
    return unresolved;
  }

  param(name: string, path: Path): unknown {
    const param = this.#params.get(name);
    if (param === undefined) {
      const hint = suggestion(name, this.#params.keys()) ?? 'The recipe declares no params.';
      this.#problems.add('unknown_param', `There is no param "${name}".`, path, { hint, cause: ['params'] });
      return unresolved;
    }
    if (!this.#used.has(name)) this.#used.set(name, this.#valueOf(name, param));
    const remark = aboutNames(name, param);
    if (remark !== undefined) this.#problems.remark(path, remark);
    return this.#used.get(name);
  }

  #valueOf(name: string, param: Param): unknown {
    const found = param.sha256 === undefined ? undefined : sha256OfFile(String(param.value));
    if (found !== param.sha256) {
      const why = found === undefined ? 'it is no file' : 'its SHA-256 is another';
      const message = `${param.value} is not the file that the param "${name}" means: ${why}.`;
      const hint = `Get the right file, or give another one on purpose: -p ${name}=FILE.`;
      this.#problems.add('wrong_file', message, param.path, { hint });
      return unresolved;
    }
    if (param.value !== undefined) {
      // A param's own value may refer to settings, and to no other param.
      const values = new ParamValues(new Map(), this.#settings, this.#problems);
      return new Resolver(values, this.#problems).resolve(param.value, param.path);
    }
    const folder =
      param.missingDataFile === undefined
        ? ''
        : `, or the folder with ${param.missingDataFile}: --data FOLDER or SIMMER_DATA`;
    this.#problems.add(
      'missing_param',
      `The param "${name}" has no default and must be given.`,
      param.path.slice(0, 2),
      {
        of: 'key',
        hint: `Give it: -p ${name}=VALUE${folder}.`,
        cause: param.path,
      },
    );
    return unresolved;
  }
}

/** Of a param with short names: which there are, where its value is another text. It may be a slip, or meant as it is. */
function aboutNames(name: string, { value, names = {} }: Param): string | undefined {
  const known = Object.keys(names);
  if (known.length === 0 || typeof value !== 'string' || Object.values(names).includes(value)) return undefined;
  return `The param "${name}" is ${quoted(value)}, which is none of its names: ${known.join(', ')}.`;
}

/** @returns undefined for a folder, and for a pipe or a device, which might never end */
function sha256OfFile(file: string): string | undefined {
  if (!statSync(file).isFile()) return undefined;
  const hash = createHash('sha256');
  const handle = openSync(file, 'r');
  try {
    const part = Buffer.alloc(2 ** 20);
    for (let size = readSync(handle, part); size > 0; size = readSync(handle, part))
      hash.update(part.subarray(0, size));
  } finally {
    closeSync(handle);
  }
  return hash.digest('hex');
}
