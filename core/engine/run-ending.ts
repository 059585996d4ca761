import { injectable } from 'inversify';
import { UserError } from '../errors.js';

type Ending =
  | { readonly kind: 'failed'; readonly error: unknown; readonly stage?: string }
  | {
      readonly kind: 'interrupted';
      readonly reason: string;
      /** A limit of the run's own, where nobody asked for it. */
      readonly error?: UserError;
    };

/** Whether and why a run ends early. The first reason stands: what fails later fails because of it. */
@injectable()
export class RunEnding {
  readonly #controller = new AbortController();
  #ending: Ending | undefined;

  /** Aborted as soon as there is a reason to end early. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get early(): Ending | undefined {
    return this.#ending;
  }

  /** @param stage the one that failed, if it was one */
  fail(error: unknown, stage?: string): void {
    this.#end({ kind: 'failed', error, ...(stage === undefined ? {} : { stage }) });
  }

  interrupt(reason: string): void {
    this.#end({ kind: 'interrupted', reason });
  }

  /** A limit of the run's own is reached. @param reason in a few words; the error says all */
  limit(reason: string, error: UserError): void {
    this.#end({ kind: 'interrupted', reason, error });
  }

  /** Why a stage that did nothing wrong was stopped, in words. */
  get reason(): string {
    if (this.#ending?.kind === 'interrupted') return this.#ending.reason;
    return this.#ending?.stage === undefined ? 'the run failed' : `stage "${this.#ending.stage}" failed`;
  }

  #end(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    this.#controller.abort(new UserError('interrupted', `Stopped: ${this.reason}.`, { kind: 'interrupted' }));
  }
}
