import { UserError } from '../errors.js';

/** What a client asked for: its own id of it, and what it is in short. */
export interface RunRequest {
  readonly id: string;
  readonly digest: string;
}

/** Which request made which run, also those that are still at it. */
export class RequestedRuns {
  readonly #runs = new Map<string, { readonly digest: string; readonly runId: Promise<string> }>();

  /** A request that is refused may be mended and sent again. */
  add({ id, digest }: RunRequest, runId: Promise<string>): void {
    this.#runs.set(id, { digest, runId });
    runId.catch(() => this.#runs.delete(id));
  }

  /** The run that the same request made, or is making; undefined for a new one. @throws UserError `request_id_reused` */
  find({ id, digest }: RunRequest): Promise<string> | undefined {
    const known = this.#runs.get(id);
    if (known === undefined || known.digest === digest) return known?.runId;
    throw new UserError('request_id_reused', `The request id ${JSON.stringify(id)} was another request's.`, {
      hint: 'Make a new id for each run; the same id is for asking again after no answer came.',
    });
  }

  /** Of a run that is gone; the same request makes a new one. */
  forget(runId: string): void {
    for (const [id, request] of this.#runs) {
      void request.runId.then((made) => made === runId && this.#runs.delete(id)).catch(() => undefined);
    }
  }
}
