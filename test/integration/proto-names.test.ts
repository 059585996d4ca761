import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { glob } from 'tinyglobby';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../proto');

it('the proto files give no field the name of what C++ calls another one by: has_x() says whether x is set', async () => {
  const files = await glob('simmer/**/*.proto', { cwd: root });
  expect(files).toContain('simmer/plugin/v1/plugin.proto');
  const clashes: string[] = [];
  for (const file of files) {
    const text = await readFile(join(root, file), 'utf8');
    for (const [, message, body = ''] of text.matchAll(/^message (\w+) \{\n([\s\S]*?)^\}/gm)) {
      const fields = new Set([...body.matchAll(/ (\w+) = \d+[ ;]/g)].map(([, field]) => field!));
      for (const field of fields) {
        const [prefix, ...rest] = field.split('_');
        const isAccessor = ['has', 'set', 'clear', 'mutable', 'add'].includes(prefix!);
        if (isAccessor && fields.has(rest.join('_'))) clashes.push(`${file}: ${message}.${field}`);
      }
    }
  }
  expect(clashes).toEqual([]);
});
