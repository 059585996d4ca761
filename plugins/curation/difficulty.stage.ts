import { type CheckPlace, type Columns, defineStage, input, manyInputs, type Row, textIn } from 'simmerkit';
import { askingEstimate, questionTokens, sideBySide } from './asking-estimate.js';
import { attemptSampling, type DifficultyOptions, defaultGoldColumns, difficultyOptions } from './asking-options.js';
import { answererProblems, nameOf } from './open-answerer.js';
import { rowsOf, sieveFacts } from './row-facts.js';
import type { Drop, Keep } from './sieve.js';
import { sieveColumns, sieveOutputs } from './sieve-outputs.js';

const attemptColumns: Columns = {
  id: 'VARCHAR',
  prompt_id: 'VARCHAR',
  question: 'VARCHAR',
  gold: 'VARCHAR',
  model: 'VARCHAR',
  sample_index: 'INTEGER',
  thinking: 'VARCHAR',
  answer: 'VARCHAR',
  finish_reason: 'VARCHAR',
  extracted: 'VARCHAR',
  verdict: 'VARCHAR',
  explanation: 'VARCHAR',
};

export const difficulty = defineStage({
  description: 'Has models attempt problems, and drops those that they solve too often to learn from, or too seldom.',
  options: difficultyOptions,
  inputs: {
    dataset: input('dataset', 'Problems.'),
    models: manyInputs('model', 'The models that trainers of `solvers` run, in their order.'),
    graded: manyInputs('dataset', 'Attempts that were graded elsewhere: by eval/grade, or by another such stage.'),
  },
  outputs: {
    ...sieveOutputs,
    attempts: { type: 'dataset', description: 'One row per attempt of `solvers`, with its `verdict`.' },
  },
  check: (options, where) => optionProblems(options, where),
  reads: ({ solvers, column, goldColumn }) => ({
    dataset: [
      'id',
      ...(solvers.length === 0 ? [] : [column]),
      ...(solvers.length === 0 || goldColumn === defaultGoldColumns.difficulty ? [] : [goldColumn]),
    ],
    graded: ['prompt_id', 'model', 'verdict'],
  }),
  columns: (_, columnsOf) => ({ ...sieveColumns(columnsOf('dataset')), attempts: Object.keys(attemptColumns) }),
  estimate: async (options, { inputs, grader, ...around }) => {
    const { solvers, attempts, maxTokens, grader: choice } = options;
    const sampling = attemptSampling(options);
    const rows = rowsOf(inputs.dataset);
    const requests = rows === undefined ? undefined : rows * attempts;
    const models = [inputs.models ?? []].flat();
    const works = solvers.map((solver) => {
      const model = (solver.trainer === undefined ? undefined : models.shift()) ?? {};
      return askingEstimate(solver, { requests, promptTokens: questionTokens, maxTokens, sampling }, model, around);
    });
    const answers = requests === undefined ? undefined : requests * solvers.length;
    const grading = solvers.length === 0 ? undefined : await grader(choice, answers);
    return {
      ...sideBySide([...(await Promise.all(works)), ...(grading === undefined ? [] : [grading])]),
      outputs: { ...sieveFacts(inputs.dataset), ...(answers === undefined ? {} : { attempts: { rows: answers } }) },
    };
  },
  async run(context) {
    const { Attempts } = await import('./attempts.js');
    const { judgeRows, sieve } = await import('./sieve.js');
    const { options, inputs } = context;
    const tallies = new Map<string, Map<string, Tally>>();
    for (const [index, table] of inputs.graded.entries()) {
      for await (const row of table.rows()) count(tallies, row, `graded ${index}`);
    }
    await using attempts = await Attempts.open(context);
    await attempts.make();
    async function* rows(): AsyncIterable<Row> {
      for await (const row of attempts.graded()) {
        count(tallies, row, 'attempts');
        yield row;
      }
    }
    const made = await context.artifacts.writeDataset(rows(), { columns: attemptColumns });
    await attempts.measure();
    const limits = limitsOf(options);
    const verdict = (row: Row) => judge([...(tallies.get(textIn(row, 'id') ?? '')?.values() ?? [])], limits);
    const judged = await sieve(context, inputs.dataset, await judgeRows(context, inputs.dataset, ['id'], verdict));
    return { ...judged, attempts: made };
  },
});

function optionProblems(options: DifficultyOptions, where: CheckPlace) {
  const { solvers, attempts, temperature } = options;
  const names = solvers.map(nameOf);
  const twice = names.findIndex((name, index) => names.indexOf(name) !== index);
  const { maximumRight, minimumRight } = limitsOf(options);
  return [
    ...(solvers.length === 0 && where.inputs?.graded === 0
      ? [
          {
            path: '',
            code: 'nobody_attempts',
            message: 'Nobody attempts the problems: there are neither `solvers` nor `graded` attempts.',
            hint: 'Name a model under `solvers`, or give what eval/grade made as `graded`.',
          },
        ]
      : []),
    ...solvers.flatMap((solver, index) => answererProblems(solver, where, `solvers.${index}.`)),
    ...(twice < 0
      ? []
      : [
          {
            path: `solvers.${twice}`,
            code: 'solver_twice',
            message: `Two solvers are called "${names[twice]}".`,
            hint: 'Give each a `label` of its own.',
          },
        ]),
    ...(attempts > 1 && temperature === 0 && solvers.length > 0
      ? [
          {
            path: 'attempts',
            code: 'equal_samples',
            message: `${attempts} attempts at temperature 0 would all be the same.`,
            hint: 'Set `temperature` above 0, or `attempts` to 1.',
          },
        ]
      : []),
    ...(minimumRight > maximumRight
      ? [{ path: 'minimumRight', code: 'nothing_kept', message: '`minimumRight` is above `maximumRight`.' }]
      : []),
  ];
}

interface Limits {
  readonly maximumRight: number;
  readonly minimumRight: number;
  readonly unanswered: DifficultyOptions['unanswered'];
}

/** s1 keeps what every model is wrong about; the other preset what is neither known nor out of reach. */
const presets = { s1: { maximumRight: 0, minimumRight: 0 }, sometimes: { maximumRight: 0.8, minimumRight: 0.2 } };

function limitsOf({ preset, maximumRight, minimumRight, unanswered }: DifficultyOptions): Limits {
  const limits = presets[preset];
  return {
    maximumRight: maximumRight ?? limits.maximumRight,
    minimumRight: minimumRight ?? limits.minimumRight,
    unanswered,
  };
}

interface Tally {
  readonly model: string;
  right: number;
  samples: number;
}

function judge(tallies: readonly Tally[], limits: Limits): Drop | Keep {
  if (tallies.length === 0)
    return limits.unanswered === 'drop' ? { rule: 'not_answered' } : { kept: true, evidence: 'no model answered it' };
  const share = ({ right, samples }: Tally) => right / samples;
  const tooEasy = tallies.find((tally) => share(tally) > limits.maximumRight);
  if (tooEasy !== undefined) return { rule: 'too_easy', evidence: evidenceOf(tooEasy) };
  const evidence = tallies.map(evidenceOf).join('; ');
  if (tallies.every((tally) => share(tally) < limits.minimumRight)) return { rule: 'too_hard', evidence };
  return { kept: true, evidence };
}

function evidenceOf({ model, right, samples }: Tally): string {
  return `${model} was right in ${right} of ${samples}`;
}

/**
 * Counts one attempt to its problem and model. What was refused is none: it says nothing of how hard the problem is.
 * @param from where it is from: models of one name may be two
 */
function count(tallies: Map<string, Map<string, Tally>>, row: Row, from: string): void {
  if (textIn(row, 'finish_reason') === 'refused') return;
  const id = textIn(row, 'prompt_id') ?? '';
  const model = textIn(row, 'model') ?? '';
  const ofProblem = tallies.get(id) ?? new Map<string, Tally>();
  const key = `${from}/${model}`;
  const tally = ofProblem.get(key) ?? { model, right: 0, samples: 0 };
  tally.samples++;
  if (textIn(row, 'verdict') === 'right') tally.right++;
  tallies.set(id, ofProblem.set(key, tally));
}
