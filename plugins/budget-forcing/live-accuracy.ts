import { finalAnswer, type Grader, type Sample, shareInterval } from 'simmerkit';
import type { Problem } from './generation-rows.js';

/** How often samples were right, while they are made: for those who watch, by a grader that is quick. */
export class LiveAccuracy {
  private right = 0;
  private graded = 0;

  constructor(
    private readonly grader: Grader,
    private readonly signal: AbortSignal,
  ) {}

  /** Grades one more sample, where its problem has a gold answer, or the grader needs none. @param question the user's message */
  async count({ gold }: Problem, sample: Sample, question: string): Promise<void> {
    const isKnown = gold !== null && gold.trim() !== '';
    if (!isKnown && this.grader.needsGold !== false) return;
    const answer = finalAnswer(sample.answer);
    const asked = question.trim() === '' ? {} : { question };
    const grades =
      answer === null
        ? []
        : await this.grader.grade([{ id: '0', gold: isKnown ? gold : '', answer, ...asked }], this.signal);
    this.graded++;
    if (grades[0]?.verdict === 'right') this.right++;
  }

  /** Empty as long as nothing was graded. */
  figures(): Readonly<Record<string, number>> {
    if (this.graded === 0) return {};
    const [accuracyLow, accuracyHigh] = shareInterval(this.right, this.graded);
    return { accuracy: this.right / this.graded, accuracyLow, accuracyHigh };
  }
}
