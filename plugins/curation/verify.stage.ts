import { defineStage, type GradeItem, input, type Row, requireColumns, shortened, textIn } from 'simmerkit';
import { defaultGoldColumns, type VerifyOptions, verifyOptions } from './asking-options.js';
import type { KeptGrade } from './kept-grades.js';
import { rowsOf, sieveFacts } from './row-facts.js';
import type { Drop, Keep } from './sieve.js';
import { sieveColumns, sieveOutputs } from './sieve-outputs.js';

const gradedAtOnce = 128;

export const verify = defineStage({
  description: "Grades each row's answer against the right one, and drops what is wrong where asked.",
  options: verifyOptions,
  inputs: { dataset: input('dataset', 'Rows with an answer and the right one.') },
  outputs: sieveOutputs,
  reads: ({ column, goldColumn }) => ({
    dataset: ['id', column, ...(goldColumn === defaultGoldColumns.verify ? [] : [goldColumn])],
  }),
  columns: ({ into }, columnsOf) => sieveColumns(columnsOf('dataset'), into),
  estimate: async (options, { inputs, grader }) => {
    const grading = await grader(options.grader, rowsOf(inputs.dataset));
    return { ...grading, outputs: sieveFacts(inputs.dataset) };
  },
  async run(context) {
    const { formatCount, formatCounted, pace, shareInterval } = await import('simmerkit');
    const { KeptGrades } = await import('./kept-grades.js');
    const { sieveAndChange } = await import('./sieve.js');
    const { options, inputs } = context;
    const { dataset } = inputs;
    const { column, goldColumn, into } = options;
    await using grades = await KeptGrades.open(context.scratchFolder, context.log);
    let allAreGraded = false;
    const goldOf = (row: Row) => {
      const gold = textIn(row, goldColumn) ?? '';
      return gold.trim() === '' ? '' : gold;
    };
    const isGraded = (row: Row) => allAreGraded || goldOf(row) !== '';
    const steps = pace(context, { unit: 'answers', total: dataset.rowCount });
    let items: GradeItem[] = [];
    let index = 0;
    for await (const row of dataset.rows()) {
      // By place: rows of one question may have different answers.
      const id = String(index++);
      if (!isGraded(row)) {
        allAreGraded = await grades.areMadeWithoutGold(context, options.grader);
        if (!allAreGraded) requireColumns(dataset, [goldColumn], 'The dataset');
      }
      if (isGraded(row)) items.push({ id, gold: goldOf(row), answer: textIn(row, column) ?? '', ...askedIn(row) });
      if (items.length >= gradedAtOnce) await grades.grade(context, options.grader, items.splice(0));
      await steps.step();
    }
    await grades.grade(context, options.grader, items);
    items = [];
    await steps.finish();
    // A row is changed right after it was judged.
    let isRight: boolean | null = null;
    const counts = { right: 0, graded: 0 };
    const verified = await sieveAndChange(
      context,
      dataset,
      (row, at) => {
        const grade = grades.get(String(at));
        isRight = isGraded(row) ? grade?.verdict === 'right' : null;
        counts.right += Number(isRight === true);
        counts.graded += Number(isRight !== null);
        return judge(grade, isRight !== null, options);
      },
      { columns: { ...dataset.columns, [into]: 'BOOLEAN' }, change: (row: Row) => ({ ...row, [into]: isRight }) },
    );
    const { right, graded } = counts;
    if (graded > 0) {
      context.log.info(
        `${formatCount(right)} of ${formatCounted(graded, 'answer')} ${right === 1 ? 'is' : 'are'} right.`,
      );
      await context.emit({
        type: 'metric.measured',
        data: {
          name: 'right',
          value: right / graded,
          interval: shareInterval(right, graded),
          count: graded,
          unit: 'share',
        },
      });
    }
    return verified;
  },
});

/** The question, where rows have one: a column of that name may hold something else. */
function askedIn({ question }: Row): Pick<GradeItem, 'question'> {
  return typeof question === 'string' && question.trim() !== '' ? { question } : {};
}

function judge(grade: KeptGrade | undefined, isGraded: boolean, { wrong, ungraded }: VerifyOptions): Drop | Keep {
  if (!isGraded) {
    return ungraded === 'drop'
      ? { rule: 'no_gold' }
      : { kept: true, evidence: 'there is no right answer to compare with' };
  }
  const evidence = grade === undefined ? 'there is no answer' : shortened(evidenceOf(grade));
  if (grade?.verdict === 'right') return { kept: true, rule: 'right', evidence };
  return wrong === 'drop' ? { rule: 'wrong', evidence } : { kept: true, rule: 'wrong', evidence };
}

/** An answer that the grader could not read, or not in time, counts as wrong: that it may be right is said here. */
function evidenceOf({ verdict, parsedAnswer, explanation }: KeptGrade): string {
  const readAs = verdict === 'unparsed' || verdict === 'timedOut' ? verdict : parsedAnswer;
  return [readAs, explanation].filter((text) => text !== '').join(': ');
}
