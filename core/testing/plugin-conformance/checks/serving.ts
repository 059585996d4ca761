import { randomUUID } from 'node:crypto';
import { isAbsolute } from 'node:path';
import { status } from '@grpc/grpc-js';
import { isUserError, type UserError } from '../../../errors.js';
import { GradeRequest } from '../../../generated/simmer/plugin/v1/plugin.js';
import { silentLog } from '../../../plugin/log.js';
import { HostedSpending } from '../../../plugin/process/hosted-call.js';
import type { GradeItem } from '../../../trainer/trainer.js';
import { demand } from '../../verification.js';
import type { PluginCheck } from '../check.js';
import { sampleEvents } from '../sample-events.js';

/** Graders and sinks. */
export const servingChecks: readonly PluginCheck[] = [
  {
    name: 'grade',
    expects:
      'a grade for each item, with a question or without, in the order asked, or an error with a code of the grader',
    needs: 'graders',
    async run(bench) {
      const process = await bench.shared();
      const items: readonly GradeItem[] = [
        { id: 'c', gold: '4', answer: '3', question: 'What is 2 + 2?' },
        { id: 'a', gold: '4', answer: '4' },
        { id: 'b', gold: '4', answer: '5', question: 'What is 2 + 2?' },
      ];
      const refused: string[] = [];
      for (const [grader, { options }] of Object.entries((await bench.definition()).graders ?? {})) {
        const callId = randomUUID();
        const { folder } = bench.options;
        const spending = new HostedSpending({ isLimited: false, reserve: async () => ({ settle() {} }) });
        const may = { log: silentLog, emitProgress: async () => {}, spending, keptFolder: async () => folder };
        using _served = process.host.serve({ id: callId, ...may });
        const place = { recipeFolder: folder, cacheFolder: folder, isSpendingLimited: false, python: undefined };
        const request = { callId, grader, options: bench.sampleOptions(options), ...place };
        // The client itself holds the answer against what was asked.
        const graded = process.client.grade(request, items).catch((error: unknown) => {
          if (!isForeseen(error)) throw error;
          refused.push(`${grader} failed, so its grades were not seen: ${error.message}`);
        });
        await process.within(graded, `an answer of ${grader}`);
      }
      return refused.length === 0 ? undefined : refused.join('; ');
    },
  },
  {
    name: 'estimate-grader',
    expects: 'EstimateGrader to answer with figures that are finite, for a number of answers and where it is not known',
    needs: 'graders with an estimate',
    async run(bench) {
      const process = await bench.shared();
      const { graders = {} } = await bench.definition();
      for (const { name, hasEstimate } of (await bench.describe()).graders) {
        if (!hasEstimate) continue;
        const options = bench.sampleOptions(graders[name]!.options);
        // The client itself holds the figures against the contract.
        for (const answers of [3, undefined]) {
          await process.within(process.client.estimateGrader(name, options, answers), `an answer of ${name}`);
        }
      }
    },
  },
  {
    name: 'unknown-grader',
    expects: 'Grade to refuse a grader that Describe does not name with NOT_FOUND, or UNIMPLEMENTED without any grader',
    async run(bench) {
      const process = await bench.shared();
      const { graders } = await bench.describe();
      const request = GradeRequest.fromPartial({
        callId: randomUUID(),
        grader: 'there-is-no-such-grader',
        options: {},
      });
      const code = (await process.refusal(process.raw.grade, request))?.code;
      const fits = code === status.NOT_FOUND || (graders.length === 0 && code === status.UNIMPLEMENTED);
      demand(fits, this.expects, code === undefined ? 'an answer' : status[code]);
    },
  },
  {
    name: 'sink',
    expects:
      'a sink to be opened, to take events, to complete, with the absolute path of a report or none, and to close',
    needs: 'sinks',
    async run(bench) {
      const process = await bench.shared();
      const { client } = process;
      for (const [sink, { options }] of Object.entries((await bench.definition()).sinks ?? {})) {
        const callId = randomUUID();
        using _served = process.host.serve({ id: callId, log: silentLog });
        const about = { callId, sink, options: bench.sampleOptions(options) };
        await process.within(
          (async () => {
            const { folder } = bench.options;
            await client.openSink({ ...about, runId: 'verify', runFolder: folder, recipeFolder: folder });
            await client.deliverEvents(callId, sampleEvents);
            const report = await client.completeSink(callId);
            demand(report === undefined || isAbsolute(report), `an absolute path of ${sink}`, report);
            await client.closeSink(callId);
          })(),
          `answers of ${sink}`,
        );
      }
    },
  },
  {
    name: 'unknown-sink',
    expects: 'OpenSink to refuse a sink that Describe does not name with NOT_FOUND, or UNIMPLEMENTED without any sink',
    async run(bench) {
      const process = await bench.shared();
      const { sinks } = await bench.describe();
      const { folder } = bench.options;
      const place = { runId: 'verify', runFolder: folder, recipeFolder: folder };
      const request = { callId: randomUUID(), sink: 'there-is-no-such-sink', options: {}, ...place };
      const code = (await process.refusal(process.raw.openSink, request))?.code;
      const fits = code === status.NOT_FOUND || (sinks.length === 0 && code === status.UNIMPLEMENTED);
      demand(fits, this.expects, code === undefined ? 'an answer' : status[code]);
    },
  },
];

/** An error for the user, with a code of the plugin's own: what is made up may not be enough, such as for a secret. */
function isForeseen(error: unknown): error is UserError {
  return isUserError(error) && error.code !== 'plugin_refused' && error.code !== 'plugin_broke_contract';
}
