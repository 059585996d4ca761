import { UserError } from '../errors.js';
import type { GivenGrade, Grade, GradeItem } from '../trainer/trainer.js';

const verdicts: ReadonlySet<string> = new Set<Grade['verdict']>(['right', 'wrong', 'unparsed', 'timedOut']);

/**
 * Holds what a grader gave to what it was asked: a grade for each answer, in the order asked, with a verdict that is known.
 * @param uses `plugin/grader` @throws UserError `invalid_grades`
 */
export function checkGrades(
  uses: string,
  items: readonly GradeItem[],
  grades: readonly GivenGrade[],
): readonly Grade[] {
  if (!Array.isArray(grades)) throw invalid(uses, 'gave something that is no list of grades');
  if (grades.length !== items.length) {
    throw invalid(uses, `gave ${grades.length} grades where ${items.length} were asked for`);
  }
  return items.map(({ id }, index) => {
    const grade: GivenGrade | undefined = grades[index];
    if (grade?.id !== id) {
      throw invalid(uses, `gave a grade with the id ${JSON.stringify(grade?.id)} where that of "${id}" was due`);
    }
    if (!verdicts.has(grade.verdict)) {
      throw invalid(uses, `gave the answer "${id}" the verdict ${JSON.stringify(grade.verdict)}`);
    }
    return { parsedAnswer: '', parsedGold: '', explanation: '', ...grade };
  });
}

function invalid(uses: string, what: string): UserError {
  return new UserError('invalid_grades', `The grader ${uses} ${what}.`, {
    kind: 'runFailed',
    hint: `This is a mistake in its plugin: it gives one grade for each answer, in the order asked, with the answer's \`id\` and as \`verdict\` ${[...verdicts].join(', ')}.`,
  });
}
