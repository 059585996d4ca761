import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { defineSink, type Event, outputFolder, redactor, type SinkContext, z } from 'simmerkit';
import { Board } from './board.js';
import { MadeTrainings } from './made-trainings.js';
import { RunSummaries, type RunSummary } from './run-summaries.js';

const options = z.strictObject({
  folder: outputFolder()
    .optional()
    .describe("Where each run makes a folder of its own. Default: `tensorboard` in the run's folder."),
});

/** Writes event files that TensorBoard shows while the run goes on, each stage as a run of TensorBoard's. */
export const tensorboardSink = defineSink({
  description: 'Writes the curves of training, accuracies and spending for TensorBoard.',
  options,
  async open({ folder }, context) {
    const board = new Board(placeOf(folder, context));
    const summaries = new RunSummaries();
    const made = new MadeTrainings(context.eventsOf);
    return {
      async onEvent(event) {
        if (event.type === 'run.created') await board.add([await recipeSummary(event, context)]);
        if (event.type === 'stage.reused') await board.add(await madeBefore(event, made, summaries.keyed(event)));
        await board.add(summaries.add(event));
      },
      async beforeCompleted() {
        await board.flushed();
        return {};
      },
      close: () => board[Symbol.asyncDispose](),
    };
  },
});

function placeOf(folder: string | undefined, { recipeFolder, runFolder, runId }: SinkContext): string {
  return folder === undefined ? join(runFolder, 'tensorboard') : join(resolve(recipeFolder, folder), runId);
}

async function recipeSummary({ time }: Event, { runFolder }: SinkContext): Promise<RunSummary> {
  const recipe = redactor()(await readFile(join(runFolder, 'recipe.yaml'), 'utf8'));
  // Markdown shows what is indented as it is.
  const text = recipe.replaceAll(/^/gm, '    ');
  return { run: '', time: Date.parse(time), step: 0, values: [{ tag: 'recipe', text }] };
}

/** How a model was trained that an earlier run made. What this run made itself has its curve already. */
async function madeBefore(
  { runId, data }: Event<'stage.reused'>,
  made: MadeTrainings,
  run: string,
): Promise<readonly RunSummary[]> {
  if (data.madeBy === undefined || data.madeBy === runId) return [];
  return (await made.of(data.madeBy, data.key)).map((summary) => ({ run, ...summary }));
}
