import { delimiter, join, resolve } from 'node:path';
import { checkPackages, checkPython, root, runPython } from '../python/check-python.js';

/**
 * `npm run check:graders -- [--data DIR] [--show N]`: see agreement.py. The data is found by --data or SIMMER_DATA. Runs in
 * the grader's own environment, with the harness's rule beside it.
 */
const given = process.argv.slice(2);
const place = given.indexOf('--data');
const data = place < 0 ? process.env.SIMMER_DATA : given[place + 1];
if (data === undefined) {
  process.stderr.write('Say where math500.jsonl is: npm run check:graders -- --data DIR, or set SIMMER_DATA.\n');
  process.exit(2);
}
const more = place < 0 ? given : given.toSpliced(place, 2);
const graderFolder = join(root, 'plugins/eval/python');
const { python, env } = await checkPython('math-verify', join(graderFolder, 'locks/grader.txt'), [graderFolder]);
const harness = await checkPackages(join(root, 'test/graders/agreement.lock.txt'), python);
const environment = { python, env: { ...env, PYTHONPATH: [env.PYTHONPATH, harness].join(delimiter) } };
const script = join(root, 'test/graders/agreement.py');
const { code } = await runPython(environment, [script, '--data', resolve(data), ...more]);
process.exit(code ?? 1);
