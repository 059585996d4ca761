import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../python/check-python.js';

const read = (path: string) => readFileSync(join(root, path), 'utf8');

it.each(['proto/clients/python', 'proto/clients/python-plugin', 'plugins/torch-trainer/python'])(
  'the package in %s asks for no older grpcio than its stubs refuse when they are imported',
  (folder) => {
    const [, generator] = /^grpcio-tools==(\S+) ; python_version < /m.exec(
      read('plugins/torch-trainer/stubs.lock.txt'),
    )!;
    expect(read(join(folder, 'pyproject.toml'))).toContain(`"grpcio>=${generator}"`);
  },
);
