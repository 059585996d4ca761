import {
  askedMessages,
  formatCounted,
  formatShare,
  type GenerationEvent,
  type GenerationRequest,
  historyIn,
  type Prompt,
  type Row,
  replyDigest,
  type Sample,
  type StageContext,
  type TableArtifact,
  type ThinkingFormat,
  type ThinkingPolicy,
  textIn,
  UserError,
} from 'simmerkit';
import { generationColumns, type KeptSample, type Problem, rowOf, thinkingTokens } from './generation-rows.js';
import { LiveAccuracy } from './live-accuracy.js';
import { type AskingOptions, thinkingFormatOf } from './options.js';
import { expandPoints, type Point, type PointGroup, rejectionPoints, withoutThinking } from './points.js';
import { RejectionSampler, sampleIndexOf } from './rejection.js';
import { SampleJournal } from './sample-journal.js';
import type { ServedSamples } from './served-samples.js';

/** What runs the model: a trainer, or a server. */
export interface Backend extends Partial<AsyncDisposable> {
  generate(request: Omit<GenerationRequest, 'model'>): AsyncIterable<GenerationEvent>;
}

interface Asked {
  readonly dataset: TableArtifact;
  /** Opened only where samples are missing. */
  readonly backend: () => Promise<Backend>;
  /** Of a server. A trainer answers again, since its samples depend a little on what it is asked together. */
  readonly served?: ServedSamples;
  /** What the generations say of the model. */
  readonly model: string;
  /** Whether a stage has trained it, so that it should know how thinking ends. @default false */
  readonly isTrained?: boolean;
}

type Context = Pick<
  StageContext<AskingOptions, Record<never, never>>,
  'options' | 'seed' | 'signal' | 'log' | 'artifacts' | 'scratchFolder' | 'keptFolder' | 'emit' | 'grader'
>;

const betweenProgress = 500;

/**
 * Answers every problem under every point of the sweep. Samples are kept as they come; a later attempt asks only for
 * what is missing. @throws UserError `invalid_problem`, `empty_dataset`
 */
export async function answerProblems(context: Context, asked: Asked) {
  const { options } = context;
  const format = thinkingFormatOf(options);
  const groups = format === undefined ? [{ instruction: '', points: [withoutThinking] }] : expandPoints(options);
  const rejected = format === undefined ? [] : rejectionPoints(options);
  const problems = await readProblems(asked.dataset, options);
  await using journal = await openJournal(context, asked, problems);
  const { samples } = options.sampling;
  const attempts = options.sweep.rejection?.attempts ?? 0;
  const drawer = new RejectionSampler(rejected, attempts, samples, journal);
  const total = problems.length * groups.reduce((sum, group) => sum + group.points.length, 0) * samples;
  const preview = options.preview;
  const accuracy =
    preview === false ? undefined : new LiveAccuracy(await context.grader(preview.uses, preview.with), context.signal);
  await using asking = new Asking(context, asked, { journal, format, total, problems, accuracy });

  for (const group of groups) {
    const policies = group.points.map(({ policy }) => policy);
    const missing = unfinished(problems, samples, (id, index) =>
      policies.every((policy) => journal.has(id, policy.id, index)),
    );
    await asking.ask(missing, group.instruction, policies, context.seed, (sample) =>
      format === undefined ? { ...sample, policyId: withoutThinking.policy.id } : sample,
    );
  }
  for (let attempt = 0; rejected.length > 0 && attempt < attempts; attempt++) {
    const indices = await drawer.missing(
      problems.map(({ id }) => id),
      attempt,
    );
    const missing = unfinished(problems, samples, (id, index) => indices.get(id)?.includes(index) !== true);
    await asking.ask(missing, '', [drawer.policy], drawer.seedOf(context.seed, attempt), (sample) =>
      drawer.kept(sample, attempt),
    );
  }

  const cut = new Map<string, number>();
  const unended = new Map<string, number>();
  const marker = format?.end.trim() ?? '';
  let missed = 0;
  const told = (row: Row) => {
    if (marker !== '' && textIn(row, 'thinking')?.includes(marker)) missed++;
    if (row.context_cut === true) countIn(cut, String(row.policy));
    if (row.thinking_end === 'sequence') countIn(unended, String(row.policy));
    return row;
  };
  async function* rows(): AsyncIterable<Row> {
    for (const problem of problems) {
      for (const { instruction, points } of groups) {
        const about = { label: options.label, prompt: messageOf(problem, instruction, options) };
        for (const point of points) {
          for (let index = 0; index < samples; index++) {
            yield told(rowOf(problem, point, await journal.read(problem.id, point.policy.id, index), about));
          }
        }
      }
      for (const point of rejected) {
        for (let index = 0; index < samples; index++) {
          const { sample, ...drawing } = await drawer.choose(problem.id, index, point.limit ?? 0);
          const about = { label: options.label, prompt: messageOf(problem, '', options), drawing };
          yield told(rowOf(problem, point, sample, about));
        }
      }
    }
  }
  const points = [...groups.flatMap((group: PointGroup) => group.points), ...rejected];
  const generations = await context.artifacts.writeGenerations(rows(), {
    columns: generationColumns,
    metadata: {
      label: options.label,
      model: asked.model,
      dataset: asked.dataset.uri,
      policies: points.map(({ policy }) => policy),
      methods: Object.fromEntries(points.map(({ policy, method }: Point) => [policy.id, method])),
      // Maxima of one problem and sample share their thinking's beginning: at any temperature they are correlated.
      correlated: points.length > 1,
      thinkingFormat: format ?? null,
    },
  });
  if (missed > 0) {
    context.log.warning(
      `The thinking of ${missed} of ${generations.rowCount} samples has ${marker} in it, in other tokens than those that end ` +
        'thinking: it went on. Train the model on this thinkingFormat, or name one whose end is a token of its own.',
    );
  }
  const shares = [...unended]
    .map(([policy, count]) => [policy, count / (problems.length * samples)] as const)
    .filter(([, share]) => share > 0.5);
  if (asked.isTrained === true && shares.length > 0) {
    const of = shares.map(([policy, share]) => `${formatShare(share)} at ${policy}`).join(', ');
    context.log.warning(
      `In more than half of the samples the model ended its whole reply while it was thinking (${of}). Either the replies that ` +
        `it was trained on do not have ${marker} where their thinking ends, which \`simmer inspect\` shows, or it was ` +
        'trained too little to write it. If it was not to think at all, set `thinkingFormat: none`.',
    );
  }
  for (const [policy, count] of cut) {
    context.log.warning(
      `The model's context ended the thinking of ${count} of ${problems.length * samples} samples before the maximum of ` +
        `policy ${policy}. Lower that maximum or sampling.maxAnswerTokens, or use a model with a longer context.`,
    );
  }
  return generations;
}

function countIn(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** The samples that are there: of earlier attempts, and of other runs where a server was paid for them. */
async function openJournal(
  { log, scratchFolder, keptFolder, options }: Context,
  { served }: Asked,
  problems: readonly Problem[],
): Promise<SampleJournal> {
  const folder = served === undefined ? scratchFolder : await keptFolder(served.of);
  const journal = await SampleJournal.open(folder, log);
  if (journal.size > 0) log.info(`Kept from an earlier attempt: ${formatCounted(journal.size, 'sample')}.`);
  if (served?.isPaid !== true) return journal;
  try {
    const { samples } = options.sampling;
    const digests = new Map(problems.map((problem) => [problem.id, questionDigest(problem)]));
    const isWanted = (sample: KeptSample) =>
      sample.of !== undefined &&
      sample.of === digests.get(sample.promptId) &&
      sampleIndexOf(sample, options.sweep.rejection) < samples;
    const taken = await journal.takeFromBeside(folder, isWanted);
    if (taken > 0) log.info(`Paid for by earlier runs and not asked for again: ${formatCounted(taken, 'sample')}.`);
    return journal;
  } catch (error) {
    await journal[Symbol.asyncDispose]();
    throw error;
  }
}

function questionDigest({ question, history }: Problem): string {
  return replyDigest({ question, history });
}

/** Asks the backend, keeps what it answers, and says how far it is. */
class Asking implements AsyncDisposable {
  private readonly figures = { tokensPerSecond: 0, samples: 0 };
  /** Of the samples of this attempt. */
  private thinkingTokens = 0;
  private readonly problems: ReadonlyMap<string, Problem>;
  private readonly startedAt = performance.now();
  private readonly samplesBefore: number;
  private opened: Promise<Backend> | undefined;
  private toldAt = 0;

  constructor(
    private readonly context: Context,
    private readonly asked: Asked,
    private readonly work: {
      readonly journal: SampleJournal;
      readonly format: ThinkingFormat | undefined;
      readonly total: number;
      readonly problems: readonly Problem[];
      readonly accuracy: LiveAccuracy | undefined;
    },
  ) {
    this.problems = new Map(work.problems.map((problem) => [problem.id, problem]));
    this.samplesBefore = work.journal.size;
    this.figures.samples = work.journal.size;
  }

  async ask(
    problems: readonly Unfinished[],
    instruction: string,
    policies: readonly ThinkingPolicy[],
    seed: number,
    keptAs: (sample: Sample) => Sample,
  ): Promise<void> {
    if (problems.length === 0) return;
    const { options, signal } = this.context;
    const { journal, format, accuracy } = this.work;
    this.opened ??= this.asked.backend();
    const backend = await this.opened;
    const events = backend.generate({
      prompts: problems.map(({ problem, sampleIndices }) => ({
        ...promptOf(problem, instruction, options),
        ...(sampleIndices.length === options.sampling.samples ? {} : { sampleIndices }),
      })),
      sampling: { ...withoutUndefined(options.sampling), seed },
      ...(format === undefined ? {} : { thinkingFormat: format }),
      policies,
    });
    for await (const event of events) {
      // A server ends by itself when what it was paid for is kept.
      if (this.asked.served === undefined) signal.throwIfAborted();
      if (event.kind === 'progress') {
        this.figures.tokensPerSecond = event.tokensPerSecond;
      } else {
        const problem = this.problems.get(event.sample.promptId);
        const sample = { ...keptAs(event.sample), ...(problem === undefined ? {} : { of: questionDigest(problem) }) };
        await journal.add(sample);
        if (problem !== undefined) await accuracy?.count(problem, sample, messageOf(problem, instruction, options));
        this.thinkingTokens += thinkingTokens(sample);
        this.figures.samples = journal.size;
      }
      await this.tell();
    }
    await journal.sync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const backend = await this.opened?.catch(() => undefined);
    await backend?.[Symbol.asyncDispose]?.();
  }

  private async tell(): Promise<void> {
    const now = performance.now();
    const { samples } = this.figures;
    if (now - this.toldAt < betweenProgress && samples < this.work.total) return;
    this.toldAt = now;
    const total = Math.max(this.work.total, samples);
    const made = samples - this.samplesBefore;
    const secondsLeft = (((now - this.startedAt) / 1000) * (total - samples)) / made;
    await this.context.emit({
      type: 'stage.progressed',
      data: {
        done: samples,
        total,
        unit: 'samples',
        ...(made === 0 ? {} : { secondsLeft }),
        figures: {
          ...this.figures,
          ...(made === 0 ? {} : { thinkingTokensPerSample: this.thinkingTokens / made }),
          ...this.work.accuracy?.figures(),
        },
      },
    });
  }
}

async function readProblems(dataset: TableArtifact, options: AskingOptions): Promise<Problem[]> {
  const { goldColumn } = options;
  const historyOf = historyIn(dataset);
  const problems = new Map<string, Problem>();
  for await (const row of dataset.rows()) {
    const id = textIn(row, 'id') ?? '';
    const question = textIn(row, 'question');
    if (id === '' || question === null || problems.has(id)) {
      const what = problems.has(id) ? `has id ${id} twice` : `has a row without ${id === '' ? 'an id' : 'a question'}`;
      throw new UserError('invalid_problem', `The dataset ${what}.`, {
        kind: 'runFailed',
        hint: 'Put curation/load and curation/deduplicate before this stage.',
      });
    }
    const gold = goldColumn in dataset.columns ? textIn(row, goldColumn) : null;
    problems.set(id, { id, question, history: historyOf(row), gold });
  }
  if (problems.size > 0) return [...problems.values()];
  throw new UserError('empty_dataset', 'The dataset has no problem to answer.', {
    kind: 'runFailed',
    hint: 'Look at what the stages before this one dropped, or at the file that was loaded.',
  });
}

function messageOf({ question }: Problem, instruction: string, options: AskingOptions): string {
  // Split and joined, not replaced: a question may hold "$&".
  return options.promptTemplate.split('{question}').join(question) + instruction;
}

function promptOf(problem: Problem, instruction: string, options: AskingOptions): Prompt {
  const content = messageOf(problem, instruction, options);
  const messages = askedMessages(content, problem.history, options.systemMessage);
  return { id: problem.id, prompt: { kind: 'messages', messages } };
}

/** A problem with the samples that it lacks. */
interface Unfinished {
  readonly problem: Problem;
  readonly sampleIndices: readonly number[];
}

function unfinished(
  problems: readonly Problem[],
  samples: number,
  isDone: (problemId: string, index: number) => boolean,
): readonly Unfinished[] {
  return problems.flatMap((problem) => {
    const sampleIndices = Array.from({ length: samples }, (_, index) => index).filter(
      (index) => !isDone(problem.id, index),
    );
    return sampleIndices.length === 0 ? [] : [{ problem, sampleIndices }];
  });
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Defined<T>;
}
