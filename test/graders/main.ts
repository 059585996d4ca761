import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaultCacheFolder, preparePythonEnvironment } from 'simmerkit';

/** `npm run check:graders -- [--data DIR] [--show N]`: see agreement.py. The data is found by --data or SIMMER_DATA. */
const root = fileURLToPath(new URL('../../..', import.meta.url));
const given = process.argv.slice(2);
const place = given.indexOf('--data');
const data = place < 0 ? process.env.SIMMER_DATA : given[place + 1];
if (data === undefined) {
  process.stderr.write('Say where math500.jsonl is: npm run check:graders -- --data DIR, or set SIMMER_DATA.\n');
  process.exit(2);
}
const more = place < 0 ? given : given.toSpliced(place, 2);
const say = (message: string) => void process.stderr.write(`${message}\n`);
const cacheFolder = process.env.SIMMER_CACHE ?? defaultCacheFolder(process.env);
await mkdir(cacheFolder, { recursive: true });
const { python, env } = await preparePythonEnvironment({
  name: 'grader-agreement',
  lockFile: join(root, 'test/graders/agreement.lock.txt'),
  cacheFolder,
  packageFolders: [join(root, 'plugins/eval/python')],
  context: {
    log: { debug: () => {}, info: say, warning: say, error: say },
    signal: new AbortController().signal,
    cacheFolder,
    recipeFolder: root,
    emit: async () => {},
  },
});
const script = join(root, 'test/graders/agreement.py');
const child = spawn(python, [script, '--data', resolve(data), ...more], {
  env: { ...process.env, ...env },
  stdio: 'inherit',
});
child.once('exit', (code) => process.exit(code ?? 1));
