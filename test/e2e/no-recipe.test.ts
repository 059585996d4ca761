import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { curationRecipe, eventsIn, simmer, workFolder } from './cli-process.js';

const start = ['run', '--until', 'problems'];

let folder: Awaited<ReturnType<typeof workFolder>>;
let cwd: string;

beforeAll(async () => {
  folder = await workFolder();
  cwd = folder.path;
  for (const name of ['recipes', 'json']) await mkdir(join(cwd, name));
  await folder.write('recipes/small.yaml', curationRecipe);
  await folder.write('recipes/bad.yaml', 'name: bad\nseeds: 7\nstages:\n  pool: { uses: curation/generate-problem }\n');
  await folder.write('json/one.json', '{"name":"one","stages":{"pool":{"uses":"curation/load"}}}\n');
  // No recipe, though it speaks of them.
  await folder.write('json/recipe.schema.json', (await simmer(['schema'], { cwd })).stdout);
  // Nobody writes to it.
  execFileSync('mkfifo', [join(cwd, 'data.json')]);
  // No recipes, though they have stages.
  await folder.write('dvc.yaml', 'stages:\n  prepare:\n    cmd: python prepare.py\n');
  await folder.write('.gitlab-ci.yml', 'stages: [build]\nbuild:\n  stage: build\n  script: [make]\n');
});
afterAll(() => folder[Symbol.asyncDispose]());

describe('simmer run without a recipe', () => {
  it('says first what it runs, for how long, and what that downloads', async () => {
    const { code, stdout, stderr } = await simmer(start, { cwd });
    expect([code, stdout]).toEqual([0, expect.stringContaining('quickstart started as run')]);
    expect(stderr).toMatch(/^No recipe is named, so this is the quickstart: \/.*recipes\/quickstart\.yaml\n/);
    expect(stderr).toContain('about 10 minutes');
    expect(stderr).toContain('a model (98 MB)');
  });

  it('names those of a folder that has some, and runs nothing', async () => {
    const { code, stdout, stderr } = await simmer(start, { cwd: join(cwd, 'recipes') });
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('error[recipe_unnamed]: No recipe is named, and this folder has bad.yaml, small.yaml');
    expect(stderr).toMatch(
      /hint: Name one: simmer run bad\.yaml\. The quickstart is simmer run \/.*recipes\/quickstart\.yaml/,
    );
    expect((await simmer(start, { cwd: join(cwd, 'json') })).stderr).toContain('hint: Name it: simmer run one.json.');
  });

  it('gives programs its events alone', async () => {
    const { stdout, stderr } = await simmer([...start, '--json'], { cwd });
    expect([eventsIn(stdout).at(-1)?.type, stderr]).toEqual(['run.completed', '']);
  });
});
