import { randomUUID } from 'node:crypto';
import { isUserError } from '../../errors.js';
import type { GraderDescription } from '../../generated/simmer/plugin/v1/plugin.js';
import { gradeBatches } from '../../grader/grade-batches.js';
import type { Grade, GradeItem } from '../../trainer/trainer.js';
import type { GraderDefinition } from '../definitions.js';
import { namedFailure } from './failure.js';
import { HostedSpending } from './hosted-call.js';
import { optionsFromJsonSchema } from './json-schema-options.js';
import type { KeptProcess } from './kept-process.js';
import { PluginProcess } from './plugin-process.js';
import { commandOf, type ProcessPlugin } from './process-plugin.js';

/** The most that one call may ask. */
const itemsPerCall = 1024;

const lost: ReadonlySet<string> = new Set(['plugin_exited', 'plugin_hung', 'plugin_over_memory']);

/**
 * A grader of a plugin that is a process, which is started again once where it is lost.
 * @param uses `plugin/grader` @param kept is asked while a recipe is planned
 * @throws UserError `invalid_plugin`
 */
export function processGrader(
  plugin: ProcessPlugin,
  described: GraderDescription,
  uses: string,
  kept: KeptProcess,
): GraderDefinition {
  const { name } = described;
  return {
    description: described.description,
    options: optionsFromJsonSchema(
      described.optionsSchema,
      plugin.called,
      `the options of the grader "${name}"`,
      plugin.secrets,
    ),
    ...(described.hasEstimate
      ? {
          estimate: (answers, options) =>
            kept.ask(`The estimate of ${uses}`, ({ client }) => client.estimateGrader(name, options, answers)),
        }
      : {}),
    needsGold: () => !described.gradesWithoutGold,
    async start(options, context) {
      const command = await commandOf(plugin, context);
      const { signal, log, recipeFolder, cacheFolder, python, emit } = context;
      const place = { recipeFolder, cacheFolder, python, isSpendingLimited: context.spending.isLimited };
      const startProcess = () => PluginProcess.start(command, { signal, onOutput: log.info });
      let process = await startProcess();

      const gradeSome = async (items: readonly GradeItem[], stop?: AbortSignal): Promise<readonly Grade[]> => {
        const request = { callId: randomUUID(), grader: name, options, ...place };
        using spending = new HostedSpending(context.spending);
        const may = { log, emitProgress: emit, spending, keptFolder: (of: object) => context.keptFolder(of) };
        using _served = process.host.serve({ id: request.callId, ...may });
        const { client, limits } = process;
        const cancel = () => void client.cancel(request.callId, 'stopped', limits.stopSeconds).catch(() => {});
        stop?.addEventListener('abort', cancel, { once: true });
        try {
          return await process.guard(client.grade(request, items));
        } finally {
          stop?.removeEventListener('abort', cancel);
        }
      };

      return {
        async grade(items, stop) {
          const grades: Grade[] = [];
          for (const some of gradeBatches(items, itemsPerCall)) {
            stop?.throwIfAborted();
            try {
              grades.push(...(await gradeSome(some, stop)));
            } catch (error) {
              stop?.throwIfAborted();
              if (!isUserError(error) || !lost.has(error.code)) throw namedFailure(`Grading with ${uses}`, error);
              log.warning(`${error.message} It is started again and asked once more.`);
              await process[Symbol.asyncDispose]();
              process = await startProcess();
              grades.push(...(await gradeSome(some, stop)));
            }
          }
          return grades;
        },
        [Symbol.asyncDispose]: () => process[Symbol.asyncDispose](),
      };
    },
  };
}
