import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Lora, Method } from '../../../generated/simmer/trainer/v1/trainer.js';
import { demand } from '../../verification.js';
import type { TrainerCheck } from '../check.js';
import { named } from '../named.js';
import { type Trial, Trials } from '../trials.js';

const plainLora: Lora = { rank: 2, alpha: 4, dropout: 0, targetModules: [] };

/** High enough for eight steps to take an adapter, which begins as nothing, somewhere. */
const adapter = (change: Partial<Lora> = {}) => ({
  method: Method.METHOD_LORA,
  lora: { ...plainLora, ...change },
  learningRate: 1e-2,
});

/** Low-rank adapters. */
export const adaptingChecks: readonly TrainerCheck[] = [
  {
    name: 'adapter',
    expects: 'METHOD_LORA to train some weights, not all of them',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      const trial = await trials.with(adapter(), { what: 'METHOD_LORA' });
      if (trial === undefined) return trials.refused;
      const { parameters, trainedParameters } = trial.started;
      const isPart = trainedParameters > 0n && trainedParameters < parameters;
      demand(isPart, 'trained_parameters above 0 and below parameters', { parameters, trainedParameters });
      return undefined;
    },
  },
  {
    name: 'lora',
    expects:
      'alpha and dropout of lora, each changed alone, to change the losses, and rank and target_modules what is trained',
    needs: ['train'],
    async run(bench) {
      const trials = new Trials(bench);
      const plain = await trials.with(adapter(), { what: 'METHOD_LORA' });
      if (plain === undefined) return trials.refused;
      for (const change of [{ alpha: 32 }, { dropout: 0.5 }]) {
        const trial = await trials.with(adapter(change), { what: named({ lora: { ...plainLora, ...change } }) });
        if (trial !== undefined) await trials.differ(trial, plain);
      }
      const wide = await trials.with(adapter({ rank: 4 }));
      if (wide !== undefined) demandTrained(wide, plain, 'more');
      const [name, ...others] = await adaptedModules(plain.completed.modelFolder);
      if (name === undefined || others.length === 0) return trials.refused;
      const narrow = await trials.with(adapter({ targetModules: [name] }));
      if (narrow !== undefined) demandTrained(narrow, plain, 'fewer');
      return trials.refused;
    },
  },
];

/** @throws Deviation */
function demandTrained(trial: Trial, plain: Trial, how: 'more' | 'fewer'): void {
  const [found, than] = [trial.started.trainedParameters, plain.started.trainedParameters];
  const expected = `${how} trained_parameters than the ${than} with ${named({ lora: plain.change.lora })}`;
  const saw = `${found} with ${named({ lora: trial.change.lora })}`;
  demand(how === 'more' ? found > than : found < than, expected, saw);
}

/** Names of the modules that an adapter changes, as PEFT names its tensors; none for one of another kind. */
async function adaptedModules(folder: string): Promise<readonly string[]> {
  const files = (await readdir(folder).catch((): string[] => [])).filter((name) => name.endsWith('.safetensors'));
  const tensors = (await Promise.all(files.map((name) => tensorNames(join(folder, name))))).flat();
  const names = tensors.flatMap((tensor) => /([^.]+)\.lora_A\./.exec(tensor)?.[1] ?? []);
  return [...new Set(names)].toSorted();
}

async function tensorNames(file: string): Promise<readonly string[]> {
  await using handle = await open(file);
  const { buffer: length } = await handle.read(Buffer.alloc(8), 0, 8, 0);
  const bytes = Number(length.readBigUInt64LE());
  const { buffer: header } = await handle.read(Buffer.alloc(bytes), 0, bytes, 8);
  return Object.keys(JSON.parse(header.toString('utf8')) as object);
}
