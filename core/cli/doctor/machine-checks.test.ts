import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sharedFolder } from '../../../test/temporary-folder.js';
import { checkDuckdb, checkFolder, checkHome, checkMemory, checkNode, checkPython } from './machine-checks.js';

const folder = sharedFolder();

const needs = { bytes: 1, setBy: '--home' };

describe('doctor', () => {
  it.each([
    ['18.20.8', 'fail'],
    ['20.18.3', 'fail'],
    ['20.19.0', 'ok'],
    ['21.7.3', 'fail'],
    ['22.11.0', 'fail'],
    ['22.12.0', 'ok'],
    ['24.1.0', 'ok'],
  ])('finds Node %s to %s', (version, status) => expect(checkNode(version).status).toBe(status));

  it('loads DuckDB, and says how to install it where it is not there', async () => {
    expect(await checkDuckdb()).toMatchObject({ status: 'ok' });
    const missing = new Error("Cannot find module '@duckdb/node-bindings-linux-x64/duckdb.node'");
    const check = await checkDuckdb(() => Promise.reject(missing));
    expect(check).toMatchObject({ status: 'fail', detail: expect.stringMatching(/^DuckDB, .* is not there for /) });
    expect(check.remedy).toContain('npm install --include=optional');
  });

  it('warns of little memory, with a recipe that needs less', () => {
    const check = checkMemory({ resources: { cpus: 2, memoryBytes: 4e9, gpus: 0 } }, 1e9);
    expect(check).toMatchObject({ status: 'warn', detail: '4.0 GB, 1.0 GB of it free' });
    expect(check.remedy).toContain('tiny.yaml');
  });

  it('takes a folder that is still to be made, where the one above it can be written to', async () => {
    expect((await checkFolder('home', join(folder, 'a', 'b'), needs)).status).toBe('ok');
  });

  it('fails on a place that cannot be a folder, and names the setting', async () => {
    await writeFile(join(folder, 'file'), '');
    const check = await checkFolder('home', join(folder, 'file', 'b'), needs);
    expect(check).toMatchObject({ status: 'fail', remedy: 'Set another place with --home.' });
  });

  it('fails on a home that a newer Simmer wrote, as every command does', async () => {
    const home = join(folder, 'newer');
    await mkdir(home);
    await writeFile(join(home, 'format'), '2\n');
    const check = await checkHome({ home });
    expect(check).toMatchObject({ status: 'fail', detail: expect.stringContaining('written by a newer Simmer') });
    expect(check.remedy).toContain('--home');
  });

  it('fails where there is hardly any space, and warns where there is too little', async () => {
    const enormous = { bytes: 1e30, setBy: '--home' };
    expect((await checkFolder('home', folder, enormous)).status).toBe('fail');
  });

  it('fails on a Python that does not run, or is too old', async () => {
    expect((await checkPython({ python: join(folder, 'none') })).status).toBe('fail');
    const old = join(folder, 'old-python');
    await mkdir(folder, { recursive: true });
    await writeFile(
      old,
      '#!/bin/sh\necho \'{"version": "3.8.1", "implementation": "cpython-38", "platform": "linux"}\'\n',
    );
    await chmod(old, 0o755);
    const check = await checkPython({ python: old });
    expect(check.status).toBe('fail');
    expect(check.detail).toContain('3.8.1');
  });
});
