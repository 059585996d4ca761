import { spawn } from 'node:child_process';

/**
 * `npm run test:main-job`: a recipe to its end, and the short versions of the slow checks. The first one has its events and
 * restarts by the clock, and the machine for itself; the others go two at a time, since each waits half of its time. What
 * one prints is shown when it has ended. After one that fails none is begun.
 */
const commands = [
  'npm run torture -- watch --short',
  'npm run check:serve -- --questions 4 --tokens 16',
  'npm run torture -- trainer --short',
  'npm run check:ranks',
  'npm run torture -- log --short',
  'node dist/core/cli/main.js run recipes/tiny.yaml',
];

await next();
await Promise.all([lane(), lane()]);

async function lane(): Promise<void> {
  while (commands.length > 0 && process.exitCode === undefined) await next();
}

async function next(): Promise<void> {
  const command = commands.shift()!;
  const { code, output } = await run(command);
  process.stdout.write(`\n$ ${command}\n${output}`);
  if (code !== 0) process.exitCode = code ?? 1;
}

/** @returns stdout and stderr in the order in which they came; no code where a signal ended it */
function run(command: string): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn('sh', ['-c', `exec ${command} 2>&1`], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (code) => resolve({ code, output }));
  });
}
