import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { type PluginKind, pluginKinds, scaffoldPlugin } from './scaffold.js';

it.each(Object.keys(pluginKinds) as PluginKind[])(
  'a plugin in Python with a %s may have the name of a module of Python, which its files leave alone',
  async (kind) => {
    const folder = await temporaryFolder();
    const files = await scaffoldPlugin({ name: 'select', language: 'python', kind, folder });
    expect(files.filter((file) => file.endsWith('.py'))).toEqual(['plugin.py', 'test_plugin.py']);
    expect(await readFile(join(folder, 'plugin.py'), 'utf8')).toContain('plugin = Plugin("select", "0.1.0")');
    expect(await readFile(join(folder, 'simmer-plugin.yaml'), 'utf8')).toContain('command: [python, plugin.py]');
  },
);
