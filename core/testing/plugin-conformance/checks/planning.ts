import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { canonicalJson } from '../../../document/canonical-json.js';
import type { StageDescription } from '../../../generated/simmer/plugin/v1/plugin.js';
import { toStageEstimate } from '../../../plugin/process/planning-wire.js';
import { plainJson } from '../../../plugin/process/wire.js';
import { demand } from '../../verification.js';
import type { PluginCheck } from '../check.js';
import type { PluginBench } from '../plugin-bench.js';
import type { PluginUnderTest } from '../plugin-under-test.js';

/** What a plugin answers while a recipe is planned, with options that are made up to fit. */
export const planningChecks: readonly PluginCheck[] = [
  {
    name: 'check-stage',
    expects: 'CheckStage to answer with problems, and with the same ones for the same options',
    needs: 'stages with a check',
    async run(bench) {
      const { client } = await bench.shared();
      const where = { recipeFolder: bench.options.folder };
      await sameTwice(bench, 'hasCheck', ({ name }, options) => client.checkStage(name, options, where));
    },
  },
  {
    name: 'stage-resources',
    expects: 'ResolveStageResources to answer, and with the same for the same options',
    needs: 'stages with resources',
    async run(bench) {
      const { client } = await bench.shared();
      await sameTwice(bench, 'resolvesResources', ({ name }, options) => client.stageResources(name, options));
    },
  },
  {
    name: 'estimate-stage',
    expects:
      'EstimateStage to answer with figures that are finite and outputs that it declares, where nothing is known',
    needs: 'stages with an estimate',
    async run(bench) {
      const process = await bench.shared();
      await sameTwice(bench, 'hasEstimate', (stage, options) => estimated(bench, process, stage, options));
    },
  },
  {
    name: 'planning-unknown-stage',
    expects: 'the calls of planning to refuse a stage that Describe does not name with NOT_FOUND, or UNIMPLEMENTED',
    async run(bench) {
      const process = await bench.shared();
      const { raw } = process;
      const { folder } = bench.options;
      const asked = { stage: 'there-is-no-such-stage', options: {}, recipeFolder: folder };
      const about = { callId: randomUUID(), inputs: {}, cacheFolder: folder };
      const refusals = {
        CheckStage: await process.refusal(raw.checkStage, { ...asked, isUsdLimited: false, inputs: {} }),
        ResolveStageResources: await process.refusal(raw.resolveStageResources, asked),
        EstimateStage: await process.refusal(raw.estimateStage, { ...asked, ...about }),
      };
      for (const [call, error] of Object.entries(refusals)) {
        const fits = error?.code === status.NOT_FOUND || error?.code === status.UNIMPLEMENTED;
        demand(fits, `${call} to be refused with NOT_FOUND or UNIMPLEMENTED`, error ? status[error.code] : 'an answer');
      }
    },
  },
];

/** Asks of each stage that declares it, twice. */
async function sameTwice(
  bench: PluginBench,
  declared: 'hasCheck' | 'resolvesResources' | 'hasEstimate',
  ask: (stage: StageDescription, options: Readonly<Record<string, unknown>>) => Promise<unknown>,
): Promise<void> {
  const process = await bench.shared();
  const definitions = new Map(await bench.stages());
  for (const stage of (await bench.describe()).stages.filter((described) => described[declared])) {
    const options = bench.sampleOptions(definitions.get(stage.name)!.options);
    const answer = () => process.within(ask(stage, options), `an answer of ${stage.name}`);
    const [first, second] = [await answer(), await answer()];
    demand(canonicalJson(first) === canonicalJson(second), `the same from ${stage.name}`, { first, second });
  }
}

async function estimated(
  bench: PluginBench,
  { client, host }: PluginUnderTest,
  { name, inputs, outputs }: StageDescription,
  options: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const callId = randomUUID();
  const { folder } = bench.options;
  const known = { trainer: () => async () => ({}), grader: async () => undefined, kept: async () => ({ others: [] }) };
  using _served = host.serve({ id: callId, estimate: known });
  const estimate = await client.estimateStage({
    ...{ callId, stage: name, options: plainJson(options), recipeFolder: folder, cacheFolder: folder },
    inputs: Object.fromEntries(inputs.map((input) => [input.name, { facts: [] }])),
  });
  return estimate === undefined
    ? null
    : toStageEstimate(
        estimate,
        outputs.map((output) => output.name),
      );
}
