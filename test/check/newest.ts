import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { installedVersions, projectRequirements } from 'simmerkit';
import { root, runPython, say } from '../python/check-python.js';
import { sideBySide, trainerFolder, withTrainerFolders } from '../python/trainer-script.js';

/**
 * `npm run check:newest`: the torch trainer's tests with the newest libraries that its pyproject.toml allows, such as a
 * user's own Python may have. Arguments go to pytest. Its last line is JSON.
 */
const folder = join(root, 'node_modules/.cache/simmer-checks/newest');
const python = join(folder, 'bin/python');
const requirements = await projectRequirements(join(trainerFolder, 'pyproject.toml'));
say(`Fetching the newest of ${requirements.join(', ')} into ${folder}.`);
run(process.env.SIMMER_PYTHON ?? 'python3', ['-m', 'venv', folder]);
const newest = ['install', '--quiet', '--upgrade', '--upgrade-strategy', 'eager'];
run(python, ['-m', 'pip', ...newest, ...requirements, 'bitsandbytes', 'pytest', 'pytest-xdist']);
const installed = await installedVersions(python, new AbortController().signal);
const versions = Object.fromEntries(
  ['torch', 'transformers', 'trl', 'peft', 'accelerate', 'datasets', 'grpcio', 'protobuf'].map((name) => [
    name,
    installed[name],
  ]),
);
say(`With ${JSON.stringify(versions)}.`);
const tests = [join(trainerFolder, 'tests'), '-p', 'no:cacheprovider', ...sideBySide, ...process.argv.slice(2)];
const { lastLine, code } = await runPython(withTrainerFolders({ python, env: {} }), ['-m', 'pytest', '-q', ...tests]);
const counts = Object.fromEntries(
  ['passed', 'failed', 'error', 'skipped'].map((outcome) => [
    outcome,
    Number(new RegExp(`(\\d+) ${outcome}`).exec(lastLine)?.[1] ?? 0),
  ]),
);
process.stdout.write(`${JSON.stringify({ name: 'newest', versions, ...counts })}\n`);
process.exitCode = code ?? 1;

function run(program: string, args: readonly string[]): void {
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw error ?? new Error(`${program} ${args.join(' ')} exits with ${status}.`);
}
