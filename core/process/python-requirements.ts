import { readFile } from 'node:fs/promises';
import { UserError } from '../errors.js';
import { runCommand } from './run-command.js';

/** A lock file: what pip installs, every version pinned. */
export interface PythonLock {
  readonly file: string;
  readonly text: string;
  /** Normalized name to pinned version. */
  readonly pins: Readonly<Record<string, string>>;
  /** How much is downloaded, in words: from a comment `# download: about 400 MB`. */
  readonly download: string | undefined;
}

/** @throws Error where the file is not there: it is part of a plugin */
export async function readLock(file: string): Promise<PythonLock> {
  const text = await readFile(file, 'utf8');
  const pins: Record<string, string> = {};
  for (const match of text.matchAll(/^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;#\\]+)/gm)) {
    const [, name = '', version = ''] = match;
    pins[normalizeName(name)] ??= version;
  }
  return { file, text, pins, download: /^#\s*download:\s*(.+)$/m.exec(text)?.[1]?.trim() };
}

/** What a Python package of ours needs: `dependencies` of its pyproject.toml, one requirement a line. */
export async function projectRequirements(pyproject: string): Promise<readonly string[]> {
  const list = /^dependencies\s*=\s*\[([\s\S]*?)^\]/m.exec(await readFile(pyproject, 'utf8'))?.[1] ?? '';
  return [...list.matchAll(/^\s*"([^"]+)"/gm)].map((match) => match[1] ?? '');
}

/** As PEP 503 compares names of distributions. */
function normalizeName(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]+/g, '-');
}

/** What is installed in an environment: normalized name to version, read from metadata; nothing is imported. */
export async function installedVersions(
  python: string,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  const script = `import importlib.metadata as m, json
print(json.dumps({d.metadata["Name"]: d.version for d in m.distributions() if d.metadata["Name"]}))`;
  const result = await runCommand([python, '-c', script], { signal, env: { PYTHONPATH: undefined } });
  if (result.exitCode !== 0) {
    throw new UserError('python_broken', `${python} cannot list its packages:\n${result.lastLines.join('\n')}`, {
      kind: 'environment',
      hint: 'Check that this Python works by itself.',
    });
  }
  const found = JSON.parse(result.stdout) as Record<string, string>;
  return Object.fromEntries(Object.entries(found).map(([name, version]) => [normalizeName(name), version]));
}

/** One line of what a package needs, e.g. "torch>=2.11,<3". */
interface Requirement {
  readonly name: string;
  readonly bounds: readonly { readonly operator: string; readonly version: string }[];
}

/** What of these requirements is missing or has another version, in words; empty where all is there. */
export function unmetRequirements(
  requirements: readonly string[],
  installed: Readonly<Record<string, string>>,
): readonly string[] {
  return requirements.flatMap((line) => {
    const requirement = parseRequirement(line);
    const version = installed[requirement.name];
    if (version === undefined) return [`${line} (missing)`];
    return requirement.bounds.every((bound) => isWithin(version, bound)) ? [] : [`${line} (found ${version})`];
  });
}

function parseRequirement(line: string): Requirement {
  const match = /^\s*([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*([^;]*)/.exec(line);
  if (match === null) throw new Error(`${JSON.stringify(line)} is no requirement`);
  const [, name = '', bounds = ''] = match;
  return {
    name: normalizeName(name),
    bounds: bounds
      .split(',')
      .map((bound) => /^\s*(===|==|~=|!=|>=|<=|>|<)\s*(\S+)\s*$/.exec(bound))
      .filter((bound) => bound !== null)
      .map(([, operator = '', version = '']) => ({ operator, version })),
  };
}

function isWithin(version: string, { operator, version: bound }: Requirement['bounds'][number]): boolean {
  const order = compareReleases(version, bound);
  switch (operator) {
    case '>=':
      return order >= 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '<':
      return order < 0;
    case '!=':
      return order !== 0;
    case '~=': {
      const prefix = bound.split('.').slice(0, -1).join('.');
      return order >= 0 && `${version}.`.startsWith(`${prefix}.`);
    }
    default:
      return order === 0;
  }
}

/** Compares the release numbers of two versions; what follows them ("rc1", "+cpu") is left out. */
function compareReleases(a: string, b: string): number {
  const release = (version: string) => (/^\d+(\.\d+)*/.exec(version)?.[0] ?? '0').split('.').map(Number);
  const [left, right] = [release(a), release(b)];
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
