import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { canonicalJson } from '../../../document/canonical-json.js';
import { isMapValue } from '../../../document/describe-value.js';
import { type BeforePlanRequest, Hook, type InsideFailure } from '../../../generated/simmer/plugin/v1/hook.js';
import type { RecipeTree } from '../../../plugin/hooks.js';
import { silentLog } from '../../../plugin/log.js';
import type { Plan } from '../../../recipe/plan.js';
import { demand } from '../../verification.js';
import type { PluginCheck } from '../check.js';
import type { PluginUnderTest } from '../plugin-under-test.js';
import { sampleEvents } from '../sample-events.js';

/** How a plugin takes part in runs, with a recipe and a plan that are made up. */
export const hookChecks: readonly PluginCheck[] = [
  {
    name: 'before-plan',
    expects: 'BeforePlan to answer with a recipe or nothing, and with the same for the same recipe',
    needs: 'hook beforePlan',
    async run(bench) {
      const process = await bench.shared();
      const answer = () => process.within(process.client.beforePlan(recipe), 'an answer');
      const [first, second] = [await answer(), await answer()];
      demand(first === undefined || isMapValue(first), 'a JSON object, or nothing', first);
      demand(canonicalJson(first ?? null) === canonicalJson(second ?? null), 'the same', { first, second });
    },
  },
  {
    name: 'after-plan',
    expects: 'AfterPlan to answer with objections that have messages, and with the same ones for the same plan',
    needs: 'hook afterPlan',
    async run(bench) {
      const process = await bench.shared();
      const answer = () => process.within(process.client.afterPlan(plan), 'an answer');
      const [first, second] = [await answer(), await answer()];
      demand(canonicalJson(first) === canonicalJson(second), 'the same', { first, second });
    },
  },
  {
    name: 'around-stage',
    expects:
      'AroundStage to say `run_inside` once, and `completed` or `failed` once, last, also where the stage failed',
    needs: 'hook aroundStage',
    async run(bench) {
      const process = await bench.shared();
      await around(process, undefined);
      await around(process, { code: 'made_up', message: 'The stage failed.' });
    },
  },
  {
    name: 'on-event',
    expects: 'OpenEventHook, DeliverEvents and CloseSink to be answered',
    needs: 'hook onEvent',
    async run(bench) {
      const process = await bench.shared();
      const callId = randomUUID();
      const { client } = process;
      await process.within(client.openEventHook(callId, 'verify'), 'an answer to OpenEventHook');
      await process.within(client.deliverEvents(callId, sampleEvents), 'an answer to DeliverEvents');
      await process.within(client.closeSink(callId), 'an answer to CloseSink');
    },
  },
  {
    name: 'undeclared-hooks',
    expects: 'UNIMPLEMENTED from BeforePlan, AfterPlan and OpenEventHook where Describe does not name their hooks',
    async run(bench) {
      const process = await bench.shared();
      const { raw } = process;
      const { hooks } = await bench.describe();
      const request: BeforePlanRequest = { recipeJson: JSON.stringify(recipe) };
      const calls = [
        [Hook.HOOK_BEFORE_PLAN, 'BeforePlan', () => process.refusal(raw.beforePlan, request)],
        [Hook.HOOK_AFTER_PLAN, 'AfterPlan', () => process.refusal(raw.afterPlan, { planJson: JSON.stringify(plan) })],
        [
          Hook.HOOK_ON_EVENT,
          'OpenEventHook',
          () => process.refusal(raw.openEventHook, { callId: randomUUID(), runId: 'verify' }),
        ],
      ] as const;
      for (const [hook, name, refusal] of calls) {
        if (hooks.includes(hook)) continue;
        const code = (await refusal())?.code;
        demand(
          code === status.UNIMPLEMENTED,
          `UNIMPLEMENTED from ${name}`,
          code === undefined ? 'an answer' : status[code],
        );
      }
    },
  },
];

/** Talks with a hook around a stage that ends so. @throws Deviation where it does not keep the order of the contract */
async function around(process: PluginUnderTest, failure: InsideFailure | undefined): Promise<void> {
  const callId = randomUUID();
  using _served = process.host.serve({ id: callId, log: silentLog });
  const { say, messages } = process.client.aroundStage();
  const stage = { runId: 'verify', stageName: 'one', uses: 'verify/one', attempt: 1, options: {} };
  say({ $case: 'stage', value: { callId, ...stage } });
  const said: string[] = [];
  const listen = async () => {
    for await (const { response } of messages) {
      said.push(response?.$case ?? 'nothing');
      // One message too many, which may be the first of no end of them.
      if (said.length > 2) break;
      if (response?.$case === 'runInside') say({ $case: 'insideEnded', value: { failure } });
    }
  };
  await process.within(listen(), 'the end of the call');
  const kinds = said.join(', ');
  // A hook may fail before the stage runs: that is how it refuses one.
  const allowed = ['runInside, completed', 'runInside, failed', 'failed'];
  demand(allowed.includes(kinds), allowed.join(', or: '), kinds === '' ? 'nothing' : kinds);
}

const recipe: RecipeTree = { name: 'verify', seed: 7, stages: { one: { uses: 'verify/one', with: { rows: 3 } } } };

const plan: Plan = {
  format: 1,
  recipe: 'verify',
  simmerVersion: '0.0.0',
  seed: 7,
  params: {},
  recipeFolder: '/',
  plugins: {},
  trainers: {},
  sinks: [],
  stages: [
    {
      name: 'one',
      uses: 'verify/one',
      options: { rows: 3 },
      semanticOptions: { rows: 3 },
      inputs: {},
      trainers: [],
      resources: { cpus: 1 },
      codeDigest: '0'.repeat(64),
      seed: 7,
    },
  ],
};
