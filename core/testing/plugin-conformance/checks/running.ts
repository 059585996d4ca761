import { status } from '@grpc/grpc-js';
import { z } from 'zod';
import { canonicalJson } from '../../../document/canonical-json.js';
import { checkStageOutputs } from '../../../engine/stage-outputs.js';
import type { StageDefinition } from '../../../plugin/definitions.js';
import { PluginLostError } from '../../../plugin/process/plugin-client.js';
import { endsWithin } from '../../../process/terminate.js';
import { demand } from '../../verification.js';
import type { PluginCheck } from '../check.js';
import { allMessages, type PluginBench, type StageCall } from '../plugin-bench.js';
import type { PluginUnderTest } from '../plugin-under-test.js';

type Stage = readonly [string, StageDefinition];

/** Running stages, with options and inputs that are made up to fit. */
export const runningChecks: readonly PluginCheck[] = [
  {
    name: 'run',
    expects:
      'RunStage to end with one `completed`, with the outputs that it declares, or one `failed` with a code of the stage',
    needs: 'stages',
    async run(bench) {
      const process = await bench.shared();
      const refused: string[] = [];
      for (const stage of await bench.stages()) {
        const end = await runToEnd(bench, process, stage);
        if (end.kind === 'failed') refused.push(`${stage[0]} failed, so what it makes was not seen: ${end.message}`);
      }
      await bench.demandInputsWhole();
      return refused.length === 0 ? undefined : refused.join('; ');
    },
  },
  {
    name: 'run-again',
    expects: 'the same options, inputs and seed to give the same outputs, in another process',
    needs: 'stages',
    async run(bench) {
      const [here, there] = [await bench.shared(), await bench.fresh()];
      for (const stage of await bench.stages()) {
        const [first, second] = [told(await runToEnd(bench, here, stage)), told(await runToEnd(bench, there, stage))];
        demand(canonicalJson(first) === canonicalJson(second), `the same from ${stage[0]}`, { first, second });
      }
    },
  },
  {
    name: 'run-side-by-side',
    expects: 'two runs at the same time to end as each by itself',
    needs: 'stages',
    async run(bench) {
      const process = await bench.shared();
      for (const stage of await bench.stages()) {
        const ends = await Promise.all([runToEnd(bench, process, stage), runToEnd(bench, process, stage)]);
        const [first, second] = ends.map(told);
        demand(canonicalJson(first) === canonicalJson(second), `the same from ${stage[0]}`, { first, second });
      }
    },
  },
  {
    name: 'unknown-stage',
    expects:
      'RunStage to refuse a stage that Describe does not name with NOT_FOUND, or UNIMPLEMENTED without any stage',
    async run(bench) {
      const process = await bench.shared();
      const [known] = await bench.stages();
      const stage = known?.[1] ?? emptyStage;
      const call = await bench.run(process, ['there-is-no-such-stage', stage]);
      const error = await process.within(
        allMessages(call).then(
          () => undefined,
          (thrown: unknown) => thrown,
        ),
        'an end of the call',
      );
      const code = codeOf(error);
      const fits = code === status.NOT_FOUND || (known === undefined && code === status.UNIMPLEMENTED);
      demand(fits, this.expects, code === undefined ? 'an answer' : status[code]);
    },
  },
  {
    name: 'health-while-running',
    expects: 'health checks to be answered while a stage runs',
    needs: 'stages',
    async run(bench) {
      const process = await bench.shared();
      for (const stage of await bench.stages()) {
        const call = await bench.run(process, stage, true);
        const ended = allMessages(call).catch(() => []);
        await endsWithin(ended, 200);
        const isHealthy = await process.client.isHealthy(Math.min(5, bench.options.patience) * 1000);
        call.abort();
        demand(isHealthy, `an answer while ${stage[0]} runs`, 'none');
        await process.client.cancel(call.callId, 'the check is done', bench.options.patience);
        await process.within(ended, `the end of ${stage[0]}`);
      }
    },
  },
  {
    name: 'cancel',
    expects: 'a stage to end soon after Cancel, and Cancel to be answered for a call that is not known',
    needs: 'stages',
    async run(bench) {
      const process = await bench.shared();
      const seconds = bench.options.patience;
      await process.client.cancel('there-is-no-such-call', 'to see', seconds);
      for (const stage of await bench.stages()) {
        const call = await bench.run(process, stage, true);
        const end = endOf(call);
        await endsWithin(end, 200);
        call.abort();
        await process.client.cancel(call.callId, 'to see', seconds);
        const code = codeOf(await process.within(end, `an end of ${stage[0]} after Cancel`));
        const fits = code === undefined || code === status.CANCELLED;
        demand(fits, `${stage[0]} to end with CANCELLED, or as if it had not been canceled`, status[code ?? 0]);
        await process.client.cancel(call.callId, 'once more', seconds);
      }
    },
  },
];

/** Stands in where the plugin has no stage. */
const emptyStage: StageDefinition = {
  description: 'None.',
  options: z.strictObject({}),
  inputs: {},
  outputs: {},
  run: async () => ({}),
};

/** Undefined, or what the stream ended with. */
function endOf(call: StageCall): Promise<unknown> {
  return allMessages(call).then(
    () => undefined,
    (error: unknown) => error,
  );
}

function codeOf(error: unknown): status | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = (cause as { readonly code?: unknown } | undefined)?.code;
  if (typeof code === 'number') return code;
  return error instanceof PluginLostError ? status.UNAVAILABLE : undefined;
}

/** How a stage ended by itself. */
type StageEnd =
  | { readonly kind: 'completed'; readonly outputs: Readonly<Record<string, string>> }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

/** What is the same each time; a message may name a folder of its own. */
function told(end: StageEnd): unknown {
  return end.kind === 'completed' ? end.outputs : { failed: end.code };
}

async function runToEnd(bench: PluginBench, process: PluginUnderTest, stage: Stage): Promise<StageEnd> {
  const [name, definition] = stage;
  const call = await bench.run(process, stage);
  const messages = await process.within(allMessages(call), `the end of ${name}`);
  demand(call.eventFaults.length === 0, `${name} to say events that fit`, call.eventFaults[0]);
  const kinds = messages.map(({ response }) => response?.$case);
  const ends = kinds.filter((kind) => kind !== 'event');
  const isOne = ends.length === 1 && kinds.at(-1) === ends[0] && ends[0] !== undefined;
  demand(
    isOne,
    `${name} to say \`completed\` or \`failed\` once, last`,
    kinds.map((kind) => kind ?? 'nothing').join(', '),
  );
  const last = messages.at(-1)!.response!;
  if (last.$case === 'failed') {
    const { code, message } = last.value;
    demand(
      code !== '',
      `${name} to work on what is made up, or to fail with an error for the user, which has a code`,
      message,
    );
    return { kind: 'failed', code, message };
  }
  const outputs = last.$case === 'completed' ? last.value.outputs : {};
  const made = Object.entries(outputs).map(([output, uri]) => [output, call.stage.artifact(uri)] as const);
  checkStageOutputs(Object.fromEntries(made), definition.outputs);
  return { kind: 'completed', outputs };
}
