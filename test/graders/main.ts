import { join, resolve } from 'node:path';
import { checkPython, root, runPython } from '../python/check-python.js';

/** `npm run check:graders -- [--data DIR] [--show N]`: see agreement.py. The data is found by --data or SIMMER_DATA. */
const given = process.argv.slice(2);
const place = given.indexOf('--data');
const data = place < 0 ? process.env.SIMMER_DATA : given[place + 1];
if (data === undefined) {
  process.stderr.write('Say where math500.jsonl is: npm run check:graders -- --data DIR, or set SIMMER_DATA.\n');
  process.exit(2);
}
const more = place < 0 ? given : given.toSpliced(place, 2);
const environment = await checkPython('grader-agreement', join(root, 'test/graders/agreement.lock.txt'), [
  join(root, 'plugins/eval/python'),
]);
const script = join(root, 'test/graders/agreement.py');
const { code } = await runPython(environment, [script, '--data', resolve(data), ...more]);
process.exit(code ?? 1);
