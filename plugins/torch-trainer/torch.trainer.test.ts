import { execFileSync } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readLock, z } from 'simmerkit';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { torchExtensions } from './options.js';
import { pluginFile } from './plugin-files.js';
import { torch } from './torch.trainer.js';
import { trainerLockFile, trainerRequirements } from './torch-environment.js';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

const where = () => ({ recipeFolder: folder, cacheFolder: folder });

/** A program that answers as a Python with these packages does. */
async function pythonWith(packages: Readonly<Record<string, string>>): Promise<string> {
  const probe = JSON.stringify({ version: '3.12.1', implementation: 'cpython-312', platform: 'test' });
  const script = `#!/bin/sh\ncase "$*" in *importlib*) echo '${JSON.stringify(packages)}';; *) echo '${probe}';; esac\n`;
  await writeFile(join(folder, 'python'), script);
  await chmod(join(folder, 'python'), 0o755);
  return './python';
}

describe('the locks', () => {
  it('differ in nothing but what computes on an NVIDIA GPU', async () => {
    const [cpu, cuda] = await Promise.all(
      ['cpu.txt', 'cuda.txt'].map((name) => readLock(pluginFile(`python/locks/${name}`))),
    );
    expect(cuda?.pins).toMatchObject(cpu?.pins ?? {});
    const further = Object.keys(cuda?.pins ?? {}).filter((name) => !(name in (cpu?.pins ?? {})));
    expect(further.filter((name) => !/^(nvidia-|cuda-|triton$)/.test(name))).toEqual([]);
    expect(further).toContain('nvidia-cudnn-cu13');
  });
});

describe('the versions that results depend on', () => {
  it('are the lock’s, before anything is installed', async () => {
    const { pins } = await readLock(trainerLockFile());
    const versions = await torch.relevantVersions(torch.options.parse({}), where());
    expect(versions.torch).toBe(pins.torch?.split('+')[0]);
    expect(Object.keys(versions)).toEqual(
      expect.arrayContaining(['torch', 'transformers', 'trl', 'peft', 'tokenizers']),
    );
    expect(versions).not.toHaveProperty('grpcio');
  });

  it('are those found in a Python of the user’s own, whatever it was built for', async () => {
    const python = await pythonWith({ torch: '2.11.0+cu130', transformers: '5.17.0', numpy: '2.0.0' });
    const versions = await torch.relevantVersions(torch.options.parse({ python }), where());
    expect(versions).toEqual({ torch: '2.11.0', transformers: '5.17.0' });
    const fromSettings = await torch.relevantVersions(torch.options.parse({}), {
      ...where(),
      python: join(folder, 'python'),
    });
    expect(fromSettings).toEqual(versions);
  });
});

it('starts a Python of the user’s own, and says what it lacks', async () => {
  const context = {
    log: { debug() {}, info() {}, warning() {}, error() {} },
    signal: new AbortController().signal,
    ...where(),
    emit: async () => {},
  };
  const requirements = await trainerRequirements();
  expect(requirements.map((line) => line.split(/[<>=]/)[0])).toEqual(
    expect.arrayContaining(['torch', 'trl', 'grpcio']),
  );

  // The oldest of each that will do.
  const complete = Object.fromEntries(
    requirements.map((line) => [line.split(/[<>=]/)[0] ?? '', /[>=]=([\d.]+)/.exec(line)?.[1] ?? '1.0']),
  );
  const python = await pythonWith(complete);
  const options = torch.options.parse({ python, device: 'cpu', threads: 3 });
  const command = await torch.prepare(options, context);
  expect(command.argv).toEqual([join(folder, 'python'), '-m', 'simmer_trainer']);
  expect(command.env).toMatchObject({ SIMMER_DEVICE: 'cpu', OMP_NUM_THREADS: '3' });
  expect(command.env.PYTHONPATH).toMatch(/torch-trainer\/python/);

  await pythonWith({ ...complete, torch: '2.1.0' });
  await expect(torch.prepare(options, context)).rejects.toMatchObject({
    code: 'python_incomplete',
    message: expect.stringMatching(/torch>=2[\d.,<]+ \(found 2\.1\.0\)/),
  });
});

describe('the extensions that a recipe is checked against', () => {
  it('are those that the process declares', () => {
    // Read, not imported: that needs torch.
    const read = `import ast, json, sys
for node in ast.parse(open(sys.argv[1]).read()).body:
    if isinstance(node, ast.AnnAssign) and node.target.id == "EXTENSIONS_SCHEMA":
        print(json.dumps(ast.literal_eval(node.value)))`;
    const source = pluginFile('python/simmer_trainer/hyperparameters.py');
    const declared = JSON.parse(execFileSync('python3', ['-c', read, source], { encoding: 'utf8' }));
    const { $schema, ...checked } = z.toJSONSchema(torchExtensions, {
      io: 'input',
      // Of an enum the process does not say that its values are texts.
      override: ({ jsonSchema }) => void (jsonSchema.enum && delete jsonSchema.type),
    });
    expect(checked).toEqual(declared);
  });
});
