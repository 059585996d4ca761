import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { canonicalJson } from '../../../document/canonical-json.js';
import type { TrainerDescription } from '../../../generated/simmer/plugin/v1/trainer.js';
import type { TrainerJob } from '../../../plugin/estimate.js';
import { silentLog } from '../../../plugin/log.js';
import { toTrainerCommand } from '../../../plugin/process/trainer-wire.js';
import { demand } from '../../verification.js';
import type { PluginCheck } from '../check.js';
import type { PluginBench } from '../plugin-bench.js';

/** Trainers, with options that are made up to fit. What is started is `simmer trainer verify`'s. */
export const trainerChecks: readonly PluginCheck[] = [
  {
    name: 'trainer-versions',
    expects: 'ReadTrainerVersions to answer, and with the same for the same options, before PrepareTrainer and after',
    needs: 'trainers',
    async run(bench) {
      const { client } = await bench.shared();
      await forEachTrainer(bench, async ({ name }, options, within) => {
        const where = placeIn(bench);
        const first = await within(client.trainerVersions(name, options, where));
        await prepared(bench, name, options);
        const second = await within(client.trainerVersions(name, options, where));
        demand(canonicalJson(first) === canonicalJson(second), `the same from ${name}`, { first, second });
      });
    },
  },
  {
    name: 'trainer-resources',
    expects: 'ResolveTrainerResources to answer, and with the same for the same options',
    needs: 'trainers with resources',
    async run(bench) {
      const { client } = await bench.shared();
      await forEachTrainer(bench, async ({ name, resolvesResources }, options, within) => {
        if (!resolvesResources) return;
        const [first, second] = [
          await within(client.trainerResources(name, options)),
          await within(client.trainerResources(name, options)),
        ];
        demand(canonicalJson(first) === canonicalJson(second), `the same from ${name}`, { first, second });
      });
    },
  },
  {
    name: 'estimate-job',
    expects: 'EstimateTrainerJob to answer with figures that are finite, where nothing is known',
    needs: 'trainers with an estimate',
    async run(bench) {
      const { client } = await bench.shared();
      await forEachTrainer(bench, async ({ name, hasEstimate }, options, within) => {
        // The client itself holds the figures against the contract.
        if (hasEstimate) await within(client.estimateJob(name, options, job, { gpus: 0, nodes: 1 }));
      });
    },
  },
  {
    name: 'prepare-trainer',
    expects: 'PrepareTrainer to answer with a command, and with the same one again',
    needs: 'trainers',
    async run(bench) {
      await forEachTrainer(bench, async ({ name }, options) => {
        const [first, second] = [await prepared(bench, name, options), await prepared(bench, name, options)];
        demand(canonicalJson(first) === canonicalJson(second), `the same from ${name}`, { first, second });
      });
    },
  },
  {
    name: 'unknown-trainer',
    expects:
      'PrepareTrainer and ReadTrainerVersions to refuse a trainer that Describe does not name with NOT_FOUND, or UNIMPLEMENTED without any',
    async run(bench) {
      const process = await bench.shared();
      const { raw } = process;
      const { trainers } = await bench.describe();
      const { folder } = bench.options;
      const asked = { trainer: 'there-is-no-such-trainer', options: {}, recipeFolder: folder, cacheFolder: folder };
      const refusals = {
        PrepareTrainer: await process.refusal(raw.prepareTrainer, { callId: randomUUID(), ...asked }),
        ReadTrainerVersions: await process.refusal(raw.readTrainerVersions, asked),
      };
      for (const [call, error] of Object.entries(refusals)) {
        const fits =
          error?.code === status.NOT_FOUND || (trainers.length === 0 && error?.code === status.UNIMPLEMENTED);
        demand(fits, `${call} to be refused so`, error ? status[error.code] : 'an answer');
      }
    },
  },
];

const job: TrainerJob = {
  kind: 'generation',
  model: {},
  prompts: undefined,
  tokensPerPrompt: 16,
  longestSequence: 64,
};

async function forEachTrainer(
  bench: PluginBench,
  check: (
    trainer: TrainerDescription,
    options: Readonly<Record<string, unknown>>,
    within: <T>(work: Promise<T>) => Promise<T>,
  ) => Promise<void>,
): Promise<void> {
  const process = await bench.shared();
  const { trainers = {} } = await bench.definition();
  for (const trainer of (await bench.describe()).trainers) {
    const within = <T>(work: Promise<T>) => process.within(work, `an answer of ${trainer.name}`);
    await check(trainer, bench.sampleOptions(trainers[trainer.name]!.options), within);
  }
}

function placeIn({ options: { folder } }: PluginBench) {
  return { recipeFolder: folder, cacheFolder: folder };
}

/** The command of a trainer, made ready. @throws UserError `plugin_broke_contract` */
async function prepared(bench: PluginBench, name: string, options: Readonly<Record<string, unknown>>) {
  const process = await bench.shared();
  const callId = randomUUID();
  using _served = process.host.serve({ id: callId, log: silentLog, emitProgress: async () => {} });
  const answer = process.client.prepareTrainer(callId, name, options, placeIn(bench));
  return toTrainerCommand(await process.within(answer, `an answer of ${name}`));
}
