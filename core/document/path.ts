/** Where something is in a tree of maps and lists: keys and indices from the root. */
export type Path = readonly (string | number)[];

/** As people read it: `stages.pool.with.sizes[2]`; the root is "the file". */
export function formatPath(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += text === '' ? part : `.${part}`;
  }
  return text === '' ? 'the file' : text;
}

/** One string for each path, for use as a key. */
export function pathKey(path: Path): string {
  return path.join('\u0000');
}

/** What a value has at a path; undefined where it has nothing there. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (here, part) =>
      typeof here === 'object' && here !== null && Object.hasOwn(here, part)
        ? (here as Record<string | number, unknown>)[part]
        : undefined,
    value,
  );
}
