import {
  Composer,
  type CST,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  type ParsedNode,
  Parser,
  type Scalar,
  type YAMLMap,
} from 'yaml';
import { type Problem, type SourcePosition, UserError } from '../errors.js';
import { formatPath, type Path, pathKey } from './path.js';
import { referenceWithoutDollar, syntaxProblem } from './syntax-problem.js';

const depthLimit = 64;
/** Values after aliases are expanded, and characters of their texts, so that a few lines cannot become gigabytes. */
const valueLimit = 200_000;
const characterLimit = 2 ** 24;
/** Characters of the paths of all values: each is kept, with all keys that it is in. */
const pathLimit = 2 ** 26;
const aliasLimit = 100;
const problemLimit = 50;
const reservedKeys: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** A file of maps, lists and plain values, and where each of them is in it. */
export interface DataDocument {
  readonly file: string;
  readonly text: string;
  /** Plain JSON values; null for an empty file. */
  readonly value: unknown;
  /** What is wrong and yet lets the rest be read: duplicate and reserved keys, numbers that JSON has not. */
  readonly problems: readonly Problem[];
  /** Where a value, or its key, is; where the path is not in the file, the nearest that is around it. */
  positionOf(path: Path, of?: 'key' | 'value'): SourcePosition;
}

interface Offsets {
  readonly key: number | undefined;
  readonly value: number;
}

/**
 * Reads YAML 1.2 (core schema, and merge keys, whatever a `%YAML` directive says), and JSON, which is part of it.
 *
 * @param what what the file is to be, for messages: "recipe"
 * @throws UserError `invalid_WHAT` with the first syntax error, and nothing but UserErrors
 */
export function parseDocument(file: string, text: string, what: string): DataDocument {
  const lines = new LineCounter();
  const positionAt = (offset: number): SourcePosition => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(1, line), column: Math.max(1, col) };
  };
  const refuse = (problems: readonly Problem[]): never => {
    throw invalidFile(file, what, problems);
  };

  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  const tooDeep = firstTooDeep(tokens);
  if (tooDeep !== undefined) {
    const message = `Lists and maps are nested more than ${depthLimit} deep here.`;
    refuse([{ code: 'too_deep', message, position: positionAt(tooDeep), hint: 'Is a bracket left open?' }]);
  }
  // The composer is recursive, and overflows beyond what an exception can report: hence the check above.
  const documents = [
    ...new Composer({
      version: '1.2',
      schema: 'core',
      merge: false,
      resolveKnownTags: false,
      uniqueKeys: false,
      strict: true,
      logLevel: 'silent',
    }).compose(tokens, true, text.length),
  ];
  const first = documents[0]!;
  const [error, ...later] = [...first.errors, ...first.warnings];
  if (error !== undefined) {
    const { offset, ...told } = syntaxProblem([error, ...later], text);
    refuse([{ code: 'syntax_error', ...told, position: positionAt(offset) }]);
  }
  if (documents.length > 1) {
    const position = positionAt(documents[1]!.range[0]);
    refuse([{ code: 'syntax_error', message: `A ${what} is one document; a second one starts here.`, position }]);
  }

  const reader = new Reader(text, positionAt, refuse);
  const contents = first.contents as ParsedNode | null;
  const value = contents === null ? null : reader.read(contents, []);
  return {
    file,
    text,
    value,
    problems: reader.problems,
    positionOf(path, of = 'value') {
      for (let length = path.length; length >= 0; length--) {
        const offsets = reader.offsets.get(pathKey(path.slice(0, length)));
        if (offsets === undefined) continue;
        // A map's own start says less than the key that it belongs to, once something in it is missing.
        const wanted = of === 'key' || length < path.length ? (offsets.key ?? offsets.value) : offsets.value;
        return positionAt(wanted);
      }
      return { file, line: 1, column: 1 };
    },
  };
}

/** One error for all that is wrong with a file: `invalid_recipe`. */
export function invalidFile(file: string, what: string, problems: readonly Problem[]): UserError {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  return new UserError(`invalid_${what}`, `${file} has ${count}.`, { problems });
}

/** What `<<` names. */
interface MergedMap {
  readonly target: YAMLMap;
  readonly isAliased: boolean;
}

/** Turns nodes into values, and notes where each is. */
class Reader {
  readonly offsets = new Map<string, Offsets>();
  readonly problems: Problem[] = [];
  readonly #text: string;
  readonly #positionAt: (offset: number) => SourcePosition;
  readonly #refuseAll: (problems: readonly Problem[]) => never;
  readonly #anchors = new Map<string, Node>();
  readonly #open = new Set<Node>();
  #values = 0;
  #characters = 0;
  #pathCharacters = 0;
  #aliases = 0;

  constructor(
    text: string,
    positionAt: (offset: number) => SourcePosition,
    refuse: (problems: readonly Problem[]) => never,
  ) {
    this.#text = text;
    this.#positionAt = positionAt;
    this.#refuseAll = refuse;
  }

  read(node: Node, path: Path, key?: number, isExpanded = false): unknown {
    const offset = node.range?.[0] ?? 0;
    const whole = pathKey(path);
    this.#pathCharacters += whole.length;
    if (this.#pathCharacters > pathLimit)
      this.#refuse('too_large', 'Keys that are this long have too many values in them.', offset, []);
    if (!this.offsets.has(whole)) this.offsets.set(whole, { key, value: offset });
    if (++this.#values > valueLimit)
      this.#refuse('too_large', `There are more than ${valueLimit} values.`, offset, path);
    if (path.length > depthLimit) this.#refuse('too_deep', `Nested more than ${depthLimit} deep.`, offset, path);
    if (isAlias(node)) return this.#readAlias(node.source, offset, path, key);
    if (!isExpanded) this.#noteAnchor(node);
    this.#open.add(node);
    try {
      if (isScalar(node)) return this.#readScalar(node, offset, path);
      if (isSeq(node)) {
        return node.items.map((item, index) => this.read(item as Node, [...path, index], undefined, isExpanded));
      }
      const reference = isMap(node) ? referenceWithoutDollar(this.#text, offset) : undefined;
      if (reference !== undefined) {
        const hint = `Put a $ before it, and quotes around the whole value: "\${{ ${reference} }}".`;
        this.#note('bad_reference', `{{ ${reference} }} is no reference.`, offset, path, hint);
        return null;
      }
      if (isMap(node)) return this.#readMap(node.items as Pair<Node, Node | null>[], path, isExpanded);
      return null;
    } finally {
      this.#open.delete(node);
    }
  }

  #readAlias(source: string, offset: number, path: Path, key: number | undefined): unknown {
    return this.read(this.#targetOf(source, offset, path), path, key, true);
  }

  #targetOf(source: string, offset: number, path: Path): Node {
    const target = this.#anchors.get(source);
    if (target === undefined)
      return this.#refuse('unknown_alias', `There is no anchor &${source} before *${source}.`, offset, path);
    if (this.#open.has(target))
      return this.#refuse('alias_cycle', `*${source} is inside of what it stands for.`, offset, path);
    if (++this.#aliases > aliasLimit) {
      return this.#refuse(
        'too_many_aliases',
        `There are more than ${aliasLimit} aliases; *${source} is one too many.`,
        offset,
        path,
      );
    }
    return target;
  }

  #readMap(pairs: readonly Pair<Node, Node | null>[], path: Path, isExpanded: boolean): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    this.#readPairs(pairs, path, isExpanded, map);
    return map;
  }

  /** @param map what is read goes here; a key that it has already stays as it is */
  #readPairs(
    pairs: readonly Pair<Node, Node | null>[],
    path: Path,
    isExpanded: boolean,
    map: Record<string, unknown>,
  ): void {
    const seen = new Map<string, number>();
    const merged: MergedMap[] = [];
    const earlier = new Set(Object.keys(map));
    for (const pair of pairs) {
      const offset = pair.key.range?.[0] ?? 0;
      const key = isScalar(pair.key) ? (pair.key as Scalar).value : undefined;
      if (typeof key !== 'string' && typeof key !== 'number') {
        this.#note('wrong_key', 'A key must be plain text.', offset, path);
        continue;
      }
      const name = String(key);
      if (name === '<<' && (pair.key as Scalar).type === 'PLAIN') {
        merged.push(...this.#mapsToMerge(pair.value, path));
        continue;
      }
      if (reservedKeys.has(name)) {
        this.#note('reserved_key', `"${name}" cannot be a key.`, offset, [...path, name], 'Take another name.');
        continue;
      }
      const before = seen.get(name);
      if (before !== undefined) {
        const message = `"${name}" is there twice in ${formatPath(path)}: first on line ${this.#positionAt(before).line}.`;
        this.#note('duplicate_key', message, offset, [...path, name], 'Leave one of the two out.');
        continue;
      }
      seen.set(name, offset);
      if (earlier.has(name)) continue;
      const childPath = [...path, name];
      if (pair.value === null) {
        this.offsets.set(pathKey(childPath), { key: offset, value: offset });
        map[name] = null;
      } else {
        map[name] = this.read(pair.value, childPath, offset, isExpanded);
      }
    }
    // Last, so that what stands beside `<<` goes before what it brings.
    for (const { target, isAliased } of merged) {
      this.#open.add(target);
      this.#readPairs(target.items as Pair<Node, Node | null>[], path, isExpanded || isAliased, map);
      this.#open.delete(target);
    }
  }

  /** The map, or the maps, that `<<` names: by the anchors that there are where it stands. */
  #mapsToMerge(node: Node | null, path: Path): readonly MergedMap[] {
    if (node !== null && !isAlias(node)) this.#noteAnchor(node);
    if (isSeq(node)) return node.items.flatMap((item) => this.#mapsToMerge(item as Node, path));
    const offset = node?.range?.[0] ?? 0;
    const isAliased = isAlias(node);
    const target = isAliased ? this.#targetOf(node.source, offset, path) : node;
    if (isMap(target)) return [{ target, isAliased }];
    const hint = 'Name one by its anchor: <<: *name.';
    this.#note('wrong_merge', '`<<` takes a map, or a list of maps.', offset, path, hint);
    return [];
  }

  #noteAnchor(node: Node): void {
    if ('anchor' in node && node.anchor !== undefined) this.#anchors.set(String(node.anchor), node);
  }

  #readScalar(node: Scalar, offset: number, path: Path): unknown {
    const { value } = node;
    if (typeof value === 'string') {
      this.#characters += value.length;
      if (this.#characters > characterLimit) {
        const message = `With what aliases repeat there are more than ${characterLimit} characters of text.`;
        this.#refuse('too_large', message, offset, path);
      }
    }
    if (typeof value === 'number') {
      const isWhole = /^[-+]?\d+$/.test(node.source ?? '');
      if (!Number.isFinite(value) || (isWhole && !Number.isSafeInteger(value))) {
        const what = path.length === 0 ? 'This' : formatPath(path);
        const message = `${what} cannot be held exactly as a number: ${node.source}.`;
        this.#note('wrong_number', message, offset, path, 'Write it in quotes if it is meant as text.');
        return null;
      }
    }
    return value ?? null;
  }

  #note(code: string, message: string, offset: number, path: Path, hint?: string): void {
    if (this.problems.length >= problemLimit) return;
    const position = this.#positionAt(offset);
    this.problems.push({ code, message, position, path: formatPath(path), ...(hint === undefined ? {} : { hint }) });
  }

  #refuse(code: string, message: string, offset: number, path: Path): never {
    const position = this.#positionAt(offset);
    return this.#refuseAll([...this.problems, { code, message, position, path: formatPath(path) }]);
  }
}

/** Offset of the first token that is nested too deep. Walks without recursion: that is the point of it. */
function firstTooDeep(tokens: readonly CST.Token[]): number | undefined {
  const waiting: { readonly token: CST.Token; readonly depth: number }[] = [];
  for (const token of tokens) waiting.push({ token, depth: 0 });
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { token, depth } = next;
    if (depth > depthLimit) return token.offset;
    if (token.type === 'document' && token.value !== undefined) waiting.push({ token: token.value, depth });
    if (!('items' in token) || token.items === undefined) continue;
    for (const item of token.items) {
      if (item.key) waiting.push({ token: item.key, depth: depth + 1 });
      if (item.value) waiting.push({ token: item.value, depth: depth + 1 });
    }
  }
  return undefined;
}
