import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { curationRecipe, shell, workFolder } from './cli-process.js';

let folder: Awaited<ReturnType<typeof workFolder>>;
let cwd: string;

beforeAll(async () => {
  folder = await workFolder();
  cwd = folder.path;
  await folder.write('small.yaml', curationRecipe);
});
afterAll(() => folder[Symbol.asyncDispose]());

describe('a folder to work in that was removed', () => {
  it('is told, and help is given all the same', async () => {
    await mkdir(join(cwd, 'gone'));
    const ended = await shell('cd gone; rmdir ../gone; simmer --help > /dev/null && simmer runs', { cwd });
    expect(ended.stderr.match(/^error\[/gm)).toHaveLength(1);
    expect(ended.stderr).toMatch(/^error\[working_folder_missing\]: The folder that you are in was removed\.\nhint: /m);
    expect(ended.stderr).not.toMatch(/\n +at /);
    expect(ended.code).toBe(3);
  });
});

describe('what cannot be told as it should', () => {
  it('ends the command with what is wrong, instead of going round for ever', async () => {
    // Too few for the modules of the command itself, those that print errors among them.
    const ended = await shell('ulimit -n 30; simmer runs', { cwd });
    expect(ended.stderr).toContain('EMFILE');
    expect(ended.code).toBe(1);
  });
});
