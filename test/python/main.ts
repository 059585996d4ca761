import { spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { cacheFolder, checkPython, root, say } from './check-python.js';
import { sideBySide, trainerPackages } from './trainer-script.js';

/** Checks the Python packages, each in the environment that its users get: ruff and mypy --strict, then pytest. */
const packages = [
  { name: 'torch-trainer', folder: 'plugins/torch-trainer/python', lock: 'cpu.txt', module: 'simmer_trainer' },
  { name: 'client', folder: 'proto/clients/python', lock: 'client.txt', module: 'simmer_client' },
  { name: 'plugin', folder: 'proto/clients/python-plugin', lock: 'plugin.txt', module: 'simmer_plugin' },
  { name: 'math-verify', folder: 'plugins/eval/python', lock: 'grader.txt', module: 'simmer_grader' },
] as const;

const tools = await checkPython('python-checks', join(root, 'test/python/dev.lock.txt'));
const toolFolder = await output(tools.python, ['-c', 'import sysconfig; print(sysconfig.get_path("purelib"))']);
const tests: (() => Promise<void>)[] = [];
for (const { name, folder, lock, module } of packages) {
  const cwd = join(root, folder);
  const { python, env } = await checkPython(name, join(cwd, 'locks', lock), [cwd]);
  // The tools come after the package's own environment, so that they change no version of it.
  const extras = name === 'torch-trainer' ? await deepSpeedFolder() : [];
  const workers = name === 'torch-trainer' ? sideBySide : [];
  const variables = { ...process.env, ...env, PYTHONPATH: [env.PYTHONPATH, toolFolder, ...extras].join(delimiter) };
  const check = async (...words: readonly string[]) => {
    say(`${folder}: ${words.join(' ')}`);
    const ruff = join(toolFolder, '..', '..', '..', 'bin', 'ruff');
    const [program, args] = words[0] === 'ruff' ? [ruff, words.slice(1)] : [python, ['-m', ...words]];
    await run(program, args, cwd, variables);
  };
  await check('ruff', 'check', '--no-cache', '.');
  await check('ruff', 'format', '--no-cache', '--check', '.');
  await check('mypy', '--cache-dir', join(cacheFolder, 'mypy'), module);
  tests.push(() => check('pytest', '-q', '-p', 'no:cacheprovider', ...workers, ...process.argv.slice(2)));
}
// They take minutes, where the rest takes seconds.
for (const test of tests) await test();

/** Built by pip from its sources. Where that fails, its tests are listed as not run. */
async function deepSpeedFolder(): Promise<readonly string[]> {
  try {
    return [await trainerPackages(join(root, 'test/python/deepspeed.lock.txt'))];
  } catch (error) {
    say(`DeepSpeed's tests are not run: ${error instanceof Error ? error.message : error}`);
    return [];
  }
}

async function run(program: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn(program, args, { cwd, env, stdio: 'inherit' });
  const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('exit', resolve));
  if (code !== 0) process.exit(code ?? 1);
}

async function output(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout) text += chunk;
  return text.trim();
}
