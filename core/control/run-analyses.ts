import { ArtifactStore } from '../artifacts/artifact-store.js';
import { diffEvaluations, type PointDiff } from '../engine/eval-diff.js';
import { explainRow, type RowHistory } from '../engine/explain-row.js';
import type { RunSummary } from '../engine/run-outcome.js';
import { UserError } from '../errors.js';

/** A row that is not found is compared with every id there is, to name the nearest. */
const rowIdLength = 256;

/** Answers that whole tables are read for: a few at a time, since each takes cores and memory from the runs. */
export class RunAnalyses {
  readonly #home: string;
  readonly #limit: number;
  #running = 0;

  constructor(home: string, limit: number) {
    this.#home = home;
    this.#limit = limit;
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

  async #within<Answer>(read: (store: ArtifactStore) => Promise<Answer>): Promise<Answer> {
    if (this.#running >= this.#limit) {
      throw new UserError('too_many_analyses', `The server reads tables for ${this.#running} others already.`, {
        kind: 'environment',
        hint: 'Try again in a moment.',
      });
    }
    this.#running += 1;
    try {
      return await read(await ArtifactStore.open(this.#home));
    } finally {
      this.#running -= 1;
    }
  }
}
