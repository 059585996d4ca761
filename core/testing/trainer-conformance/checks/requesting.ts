import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { status } from '@grpc/grpc-js';
import type {
  Hyperparameters,
  StartTrainingRequest,
  TrainingStarted,
} from '../../../generated/simmer/trainer/v1/trainer.js';
import { demand } from '../../verification.js';
import { demandStatus, refusals, refusedHonestly, type TrainerCheck } from '../check.js';
import { modelIn, rowCount, type TrainerBench } from '../trainer-bench.js';
import type { TrainerUnderTest } from '../trainer-under-test.js';
import { startedOf } from '../training-events.js';

/** What is asked for and cannot be. */
export const requestingChecks: readonly TrainerCheck[] = [
  {
    name: 'bad-input',
    expects: 'INVALID_ARGUMENT, with a message, for a request that can never succeed; nothing of it is kept',
    needs: ['train'],
    async run(bench) {
      const trainer = await bench.trainer();
      const good = await bench.training({ maxSteps: 1 });
      const parameters = (change: Partial<Hyperparameters>): Partial<StartTrainingRequest> => ({
        hyperparameters: { ...(good.hyperparameters as Hyperparameters), ...change },
      });
      const cases: Readonly<Record<string, Partial<StartTrainingRequest>>> = {
        'no model': { model: undefined },
        'a model folder that is not there': { model: modelIn(bench.nowhere) },
        'training data that is not there': { trainingData: bench.nowhere },
        'an output folder that is not there': { outputFolder: bench.nowhere },
        'no hyperparameters': { hyperparameters: undefined },
        'a learning rate of 0': parameters({ learningRate: 0 }),
        'a learning rate that is no number': parameters({ learningRate: Number.NaN }),
        'batches of no rows': parameters({ globalBatchSize: 0 }),
        'evaluation without data for it': parameters({ evaluateEverySteps: 1 }),
        'an empty attempt_id': { attemptId: '' },
        'an empty job_id': { jobId: '' },
        'attempt 0': { attempt: 0 },
      };
      for (const [what, change] of Object.entries(cases)) {
        const request = { ...(await bench.training({ maxSteps: 1 })), ...change };
        await demandFailure(trainer, request, what);
      }
      await staysInside(bench);
    },
  },
  {
    name: 'bad-rows',
    expects: 'rows that cannot be trained on to be refused, or to fail the attempt by a code and for good',
    needs: ['train'],
    async run(bench) {
      const trainer = await bench.trainer();
      const cases = {
        'a file that is no Parquet': await bench.file('text.parquet', 'prompt,completion\na,b\n'),
        'a file without rows': await bench.parquet('none', `SELECT 'a' AS prompt, 'b' AS completion WHERE false`),
        'a file without a completion': await bench.parquet('half', `SELECT 'a' AS prompt`),
      };
      for (const [what, trainingData] of Object.entries(cases)) {
        await demandFailure(trainer, await bench.training({ maxSteps: 1 }, { trainingData }), what);
      }
    },
  },
  {
    name: 'messages',
    expects: 'rows whose prompts and completions are lists of messages to be trained on, the completions alone',
    needs: ['train'],
    async run(bench) {
      const trainingData = await bench.parquet(
        'messages',
        `SELECT [{role: 'user', content: 'What is ' || i || ' and one?'}] AS prompt,
                [{role: 'assistant', content: 'It is ' || (i + 1) || '.'}] AS completion
         FROM range(${rowCount}) t(i)`,
      );
      const started = await trainedOrRefused(bench, trainingData, 'lists of messages');
      if (typeof started === 'string') return started;
      const { rows, tokens, trainedTokens } = started;
      const isMasked = rows === rowCount && trainedTokens > 0n && trainedTokens < tokens;
      demand(isMasked, `${rowCount} rows, some of whose tokens are trained, and others not`, started);
      return undefined;
    },
  },
  {
    name: 'tools',
    expects: 'calls of tools to be trained, what defines and answers them to be seen only; or such rows to be refused',
    needs: ['train'],
    async run(bench) {
      const plain = await trainedOnCalls(bench, {});
      if (typeof plain === 'string') return plain;
      const longer = {
        'the arguments of a call': await trainedOnCalls(bench, { call: longText }),
        'the result of a call': await trainedOnCalls(bench, { result: longText }),
        'the definition of a tool': await trainedOnCalls(bench, { definition: longText }),
      };
      for (const [what, started] of Object.entries(longer)) {
        if (typeof started === 'string') return started;
        if (started.truncatedRows > 0) return 'nothing can be told: rows in which tools are called are cut';
        const isTrained = what === 'the arguments of a call';
        const hasMore = started.tokens > plain.tokens && started.trainedTokens > plain.trainedTokens === isTrained;
        const are = isTrained ? 'and of these more trained' : 'and as many trained';
        const [saw, before] = [started, plain].map(({ tokens, trainedTokens }) => ({ tokens, trainedTokens }));
        demand(hasMore, `more tokens than ${JSON.stringify(before, asText)}, ${are}, where ${what} is longer`, saw);
      }
      return undefined;
    },
  },
  {
    name: 'weights',
    expects: 'a reply of weight 0 to be seen only; or such rows to be refused',
    needs: ['train'],
    async run(bench) {
      const plain = await trainedOnReplies(bench, 'NULL');
      const seen = await trainedOnReplies(bench, '0');
      if (typeof plain === 'string') return plain;
      if (typeof seen === 'string') return seen;
      const isSeen =
        seen.tokens === plain.tokens && seen.trainedTokens < plain.trainedTokens && seen.trainedTokens > 0n;
      const [saw, before] = [seen, plain].map(({ tokens, trainedTokens }) => ({ tokens, trainedTokens }));
      demand(
        isSeen,
        `the tokens of ${JSON.stringify(before, asText)}, fewer of them trained, with a reply of weight 0`,
        saw,
      );
      return undefined;
    },
  },
  {
    name: 'extensions',
    expects: 'INVALID_ARGUMENT for extensions that extensions_schema does not have',
    needs: ['train'],
    async run(bench) {
      const { extensionsSchema } = await bench.describe();
      // A schema may be open; then there is nothing that it must refuse.
      if (extensionsSchema !== undefined && extensionsSchema.additionalProperties !== false) return;
      const request = await bench.training({ maxSteps: 1 }, { extensions: { 'no-such-extension': true } });
      await demandFailure(await bench.trainer(), request, 'an unknown extension');
    },
  },
];

/** Added to one part of a row in which a tool is called. */
const longText = ' of the town by the sea and of the hills behind it';

const asText = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value);

/** What a training on rows tells in which a tool is called, with some of their parts longer; or why it is refused. */
async function trainedOnCalls(
  bench: TrainerBench,
  { call = '', result = '', definition = '' }: Readonly<Partial<Record<'call' | 'result' | 'definition', string>>>,
): Promise<TrainingStarted | string> {
  const place = { type: 'object', properties: { place: { type: 'string' } } };
  const clock = { name: 'clock', description: `The time${definition}.`, parameters: place };
  const trainingData = await bench.parquet(
    ['tools', call && 'call', result && 'result', definition && 'definition'].filter(Boolean).join('-'),
    `SELECT [{role: 'user', content: 'What time is it? ' || i}] AS prompt,
            [{role: 'assistant', content: NULL, tool_call_id: NULL, name: NULL, tool_calls: [{id: 'call-1', type: 'function',
              function: {name: 'clock', arguments: '{"place": "the center${call}"}'}}]},
             {role: 'tool', content: 'It is${result} ten.', tool_call_id: 'call-1', name: 'clock', tool_calls: NULL},
             {role: 'assistant', content: 'Ten.', tool_call_id: NULL, name: NULL, tool_calls: NULL}] AS completion,
            '${JSON.stringify([{ type: 'function', function: clock }])}' AS tools
     FROM range(${rowCount}) t(i)`,
  );
  // Templates say at length how tools are called.
  return trainedOrRefused(bench, trainingData, 'rows in which tools are called', { maxSequenceLength: 512 });
}

/** What a training on rows of two replies tells, the first of this weight; or why it is refused. */
async function trainedOnReplies(bench: TrainerBench, weight: '0' | 'NULL'): Promise<TrainingStarted | string> {
  const trainingData = await bench.parquet(
    `weight-${weight}`,
    `SELECT [{role: 'user', content: 'What is ' || i || ' and one?'}] AS prompt,
            [{role: 'assistant', content: 'I say it is ' || (i + 1) || '.', weight: ${weight}::INTEGER},
             {role: 'user', content: 'And one more?', weight: NULL},
             {role: 'assistant', content: 'It is ' || (i + 2) || '.', weight: NULL}] AS completion
     FROM range(${rowCount}) t(i)`,
  );
  return trainedOrRefused(bench, trainingData, 'replies of weight 0', { maxSequenceLength: 512 });
}

/**
 * What a training of one step on these rows tells, or in words that it is refused.
 * @throws Deviation where it fails otherwise
 */
async function trainedOrRefused(
  bench: TrainerBench,
  trainingData: string,
  what: string,
  parameters: Partial<Hyperparameters> = {},
) {
  const tried = await bench.attempt({ maxSteps: 1, ...parameters }, { trainingData });
  if (tried instanceof Error) return await refusedHonestly(bench, tried, what);
  const end = tried.events.at(-1)?.event;
  const isHonest = end?.$case === 'trainingFailed' && end.value.code === 'data_invalid' && !end.value.retryable;
  if (isHonest) return `the trainer refuses ${what}: ${end.value.message}`;
  demand(end?.$case === 'trainingCompleted', 'training_completed, or training_failed with data_invalid', end);
  return startedOf(tried.events);
}

/** That files of an attempt_id with slashes in it are in the trainer's folders, where it is not refused. */
async function staysInside(bench: TrainerBench): Promise<void> {
  const trainer = await bench.trainer();
  const name = randomUUID();
  const request = { ...(await bench.training({ maxSteps: 1 })), attemptId: `../../${name}` };
  const refusal = await trainer.refusal(trainer.call(trainer.client.startTraining, request));
  if (refusal !== undefined) demandStatus(refusal, refusals, `INVALID_ARGUMENT for attempt_id = ${request.attemptId}`);
  else await trainer.events(request.attemptId);
  const { folder } = bench.options;
  const left = (await Promise.all([folder, dirname(folder)].map((parent) => readdir(parent)))).flat();
  const outside = left.filter((entry) => entry.startsWith(name));
  demand(
    outside.length === 0,
    `no file outside of the trainer's folders for attempt_id = ${request.attemptId}`,
    outside,
  );
}

/** That it is refused at once, or fails the attempt by a code that is not "internal", and for good. */
async function demandFailure(trainer: TrainerUnderTest, request: StartTrainingRequest, what: string): Promise<void> {
  const refusal = await trainer.refusal(trainer.call(trainer.client.startTraining, request));
  if (refusal !== undefined) {
    demandStatus(refusal, refusals, `INVALID_ARGUMENT for ${what}`);
    demand(refusal.details !== '', `a message that says what to change, for ${what}`, 'none');
    const code = refusal.metadata?.get('simmer-error-code')[0];
    const isStable = code === undefined || /^[a-z][a-z0-9_]*$/.test(String(code));
    demand(isStable, 'a simmer-error-code in snake_case, where there is one', code);
    if (request.attemptId === '') return;
    const known = await trainer.refusal(trainer.events(request.attemptId));
    demand(known?.code === status.NOT_FOUND, `no attempt to be left of ${what}`, 'an attempt that Watch knows');
    return;
  }
  const end = (await trainer.events(request.attemptId)).at(-1)?.event;
  const hasFailed = end?.$case === 'trainingFailed' && !end.value.retryable && end.value.code !== 'internal';
  const isFit = hasFailed && end.value.code !== '' && end.value.message !== '';
  demand(isFit, `a refusal, or training_failed with a code and a message, for ${what}`, end);
}
