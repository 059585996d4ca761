import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { glob } from 'tinyglobby';
import { describe, expect, it } from 'vitest';
import { exitCodes } from '../../core/errors.js';
import { simmerPackage } from '../../core/plugin/locate.js';

const { root } = simmerPackage;
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const documents = await glob(['*.md', 'docs/*.md', 'plugins/*/README.md'], { cwd: root });

/** What a link to a heading has behind its #, as GitHub makes it. */
function anchorsIn(document: string): readonly string[] {
  const text = read(document).replaceAll(/```[\s\S]*?```/g, '');
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\- _]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe.each(documents)('%s', (document) => {
  const text = read(document);

  it('links to files and headings that there are', () => {
    const dead = [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)]
      .filter(([, path, anchor]) => {
        const target = path === '' ? document : join(dirname(document), path!);
        if (!existsSync(join(root, target))) return true;
        return anchor !== undefined && !anchorsIn(target).includes(anchor);
      })
      .map(([link]) => link);
    expect(dead).toEqual([]);
  });

  it('names scripts that package.json has', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: object };
    const named = [...text.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name);
    expect(named.filter((name) => !Object.hasOwn(scripts, name!))).toEqual([]);
  });

  it('names environment variables that something reads', async () => {
    const sources = await glob(
      ['core/**/*.ts', 'plugins/**/*.{ts,py}', 'proto/clients/**/*.{py,cpp,cc}', 'test/**/*.ts'],
      {
        cwd: root,
      },
    );
    const all = sources.map(read).join('\n');
    const named = new Set([...text.matchAll(/\bSIMMER_[A-Z_]*[A-Z]\b/g)].map(([name]) => name));
    expect([...named].filter((name) => !all.includes(name))).toEqual([]);
  });
});

describe('docs/errors.md', () => {
  const text = read('docs/errors.md');

  it('has every exit code, and no others', () => {
    const told = [...text.matchAll(/^\| (\d+) +\|/gm)].map(([, code]) => Number(code));
    expect(told).toEqual(Object.values(exitCodes));
  });

  it('has codes that errors have', async () => {
    const sources = await glob(['core/**/*.ts', 'plugins/**/*.{ts,py}', '!**/*.test.ts', '!**/tests/**'], {
      cwd: root,
    });
    const all = sources.map(read).join('\n');
    const rows = [...text.matchAll(/^\| (`[a-z_`, ]+`) +\|/gm)].map(([, codes]) => codes!);
    const codes = rows.flatMap((row) => [...row.matchAll(/`([a-z_]+)`/g)].map(([, code]) => code!));
    expect(codes.length).toBeGreaterThan(40);
    expect(codes.filter((code) => !new RegExp(`['"]${code}['"]`).test(all))).toEqual([]);
  });
});
