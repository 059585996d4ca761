import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { local } from './local.launcher.js';

const log = { debug() {}, info() {}, warning() {}, error() {} };

/** What a process that is launched so sees of CUDA_VISIBLE_DEVICES. */
async function visible(env: Readonly<Record<string, string>>, devices?: readonly string[]): Promise<string> {
  const folder = await temporaryFolder();
  const [stdoutFile, stderrFile] = [join(folder, 'out'), join(folder, 'err')];
  const command = { argv: ['sh', '-c', 'printf "%s" "$CUDA_VISIBLE_DEVICES"'], env };
  const given = devices === undefined ? {} : { devices };
  const options = local.options.parse({});
  const launched = await local.launch({ command, resources: {}, ...given, stdoutFile, stderrFile, log }, options);
  await launched.exited;
  return readFile(stdoutFile, 'utf8');
}

it('shows a process the GPUs that it is given, and no others', async () => {
  expect(await visible({}, ['2', '5'])).toBe('2,5');
  expect(await visible({})).toBe(process.env.CUDA_VISIBLE_DEVICES ?? '');
  // What its own command says goes before.
  expect(await visible({ CUDA_VISIBLE_DEVICES: '7' }, ['2'])).toBe('7');
});
