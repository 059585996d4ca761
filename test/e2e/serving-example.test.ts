import { execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { curationRecipe, simmer, startSimmer, workFolder } from './cli-process.js';

const unitFile = join(import.meta.dirname, '../../docs/examples/serving/simmer.service');

it('the unit of docs/serving.md serves a team: with the files that it names, tokens and TLS', async () => {
  await using folder = await workFolder();
  const etc = join(folder.path, 'etc');
  for (const name of ['data', 'recipes']) await mkdir(join(etc, name), { recursive: true });
  const token = 'a-token-of-somebody-of-the-team';
  await writeFile(join(etc, 'tokens'), `# Ada\n${'x'.repeat(32)}\n# Grace\n${token}\n`, { mode: 0o600 });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'server.key'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync('openssl', ['req', '-x509', ...key, ...names, '-out', 'server.pem'], { cwd: etc, stdio: 'pipe' });

  const unit = await readFile(unitFile, 'utf8');
  const [, command = ''] = /^ExecStart=\S+\/simmer (.*)$/m.exec(unit) ?? [];
  const here = command.replaceAll('/etc/simmer', etc).replace('0.0.0.0:7070', 'localhost:0');
  const variables = [...unit.matchAll(/SIMMER_\w+(?==)/g)].map(([name]) => [name, join(folder.path, name)]);
  const server = startSimmer([...here.split(' '), '--json'], { cwd: folder.path, env: Object.fromEntries(variables) });
  const { address, home } = JSON.parse(await server.printed('\n')) as {
    readonly address: string;
    readonly home: string;
  };
  expect(home).toBe(join(folder.path, 'SIMMER_HOME'));

  await folder.write('small.yaml', curationRecipe);
  const env = { SIMMER_SERVER: address, SIMMER_SERVER_TOKEN: token, SIMMER_SERVER_CA: join(etc, 'server.pem') };
  const run = await simmer(['run', 'small.yaml'], { cwd: folder.path, env });
  expect([run.code, run.stderr]).toEqual([0, '']);
  server.child.kill('SIGTERM');
  expect((await server.ended).code).toBe(0);
});
