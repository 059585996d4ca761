import { ArtifactStore } from '../artifacts/artifact-store.js';
import { diffEvaluations, type PointDiff } from '../engine/past-runs/eval-diff.js';
import { explainRow, type RowHistory } from '../engine/past-runs/explain-row.js';
import type { RunSummary } from '../engine/run-outcome.js';
import { UserError } from '../errors.js';
import type { ServerLimits } from './limits.js';
import { Turns } from './turns.js';

/** A row that is not found is compared with every id there is, to name the nearest. */
const rowIdLength = 256;

/** Answers that whole tables are read for: a few at a time, since each takes cores and memory from the runs. */
export class RunAnalyses {
  readonly #home: string;
  readonly #turns: Turns;

  constructor(home: string, { analyses, waitingAnalyses }: ServerLimits) {
    this.#home = home;
    const refusal = { code: 'too_many_analyses', waitFor: 'others wait for tables to be read' };
    this.#turns = new Turns({ atATime: analyses, mostWaiting: waitingAnalyses, refusal });
  }

  /** @throws UserError `invalid_row_id`, `too_many_analyses`, and as `explainRow` */
  async explainRow(run: RunSummary, rowId: string): Promise<RowHistory> {
    if (rowId.length > rowIdLength) {
      throw new UserError('invalid_row_id', `A row's id has at most ${rowIdLength} characters, not ${rowId.length}.`, {
        hint: 'Give the `id` of a row of the run, or the beginning of it.',
      });
    }
    return this.#within((store) => explainRow(run, rowId, store));
  }

  /** @throws UserError `too_many_analyses`, and as `diffEvaluations` */
  async diffEvaluations(before: RunSummary, after: RunSummary): Promise<readonly PointDiff[]> {
    return this.#within((store) => diffEvaluations(before, after, store));
  }

  /** @throws UserError `too_many_analyses`, and as the writing */
  async writeReport(write: () => Promise<string>): Promise<string> {
    return this.#turns.take(write);
  }

  #within<Answer>(read: (store: ArtifactStore) => Promise<Answer>): Promise<Answer> {
    return this.#turns.take(async () => read(await ArtifactStore.open(this.#home)));
  }
}
