import { randomUUID } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import type { Artifact, TableArtifact } from '../../artifacts/artifact.js';
import { deferred } from '../../deferred.js';
import { UserError } from '../../errors.js';
import { isWithin } from '../../files/is-within.js';
import type { SinkContext, StageContext, StageEvent } from '../definitions.js';
import type { StageEstimateContext } from '../estimate.js';
import type { Log } from '../log.js';
import type { Reservation, Spending, SpendingRequest, Spent } from '../spending.js';

/** What a stage's context is to a plugin process; its options and inputs went with the call. */
export type HostedContext = Pick<
  StageContext<Readonly<Record<string, unknown>>, Record<never, never>>,
  'signal' | 'log' | 'artifacts' | 'scratchFolder' | 'keptFolder' | 'emit' | 'spending' | 'trainer' | 'grader'
>;

/** A call that the host made to a plugin, as long as it runs: what the plugin may ask for it. */
export interface HostedCall {
  readonly id: string;
  /** Absent: it may say nothing. */
  readonly log?: Log;
  /** Of a preparation or a grader: how far it is. */
  emitProgress?(event: Extract<StageEvent, { type: 'stage.progressed' }>): Promise<void>;
  /** Absent: it may not spend. */
  readonly spending?: HostedSpending;
  /** Of a grader alone; that of a stage is its context's. */
  keptFolder?(of: object): Promise<string>;
  /** Of an estimate alone. */
  readonly estimate?: Pick<StageEstimateContext, 'trainer' | 'grader' | 'kept'>;
  /** @throws UserError `artifact_missing` and its like */
  openArtifact?(uri: string): Promise<Artifact | TableArtifact>;
  /** Of a sink alone: the log of a run. */
  eventsOf?: SinkContext['eventsOf'];
  /** Of a stage alone. */
  readonly stage?: HostedStage;
}

/** A run of a stage by a plugin process: the artifacts that it may name, and the folders that it may take files from. */
export class HostedStage {
  readonly context: HostedContext;
  readonly temporaryFolder: string;
  readonly #artifacts = new Map<string, Artifact | TableArtifact>();

  constructor(context: HostedContext, temporaryFolder: string, inputs: Iterable<Artifact | TableArtifact>) {
    this.context = context;
    this.temporaryFolder = temporaryFolder;
    for (const artifact of inputs) this.add(artifact);
  }

  /** The stage may name it from now on. */
  add<A extends Artifact>(artifact: A): A {
    this.#artifacts.set(artifact.uri, artifact);
    return artifact;
  }

  /** @throws UserError `artifact_missing` for what is neither an input nor committed by this stage */
  artifact(uri: string): Artifact | TableArtifact {
    const artifact = this.#artifacts.get(uri);
    if (artifact !== undefined) return artifact;
    throw new UserError('artifact_missing', `The stage neither was given nor made ${JSON.stringify(uri)}.`, {
      kind: 'runFailed',
      hint: 'It may name its inputs, and what the commit calls of this very run returned.',
    });
  }

  /** A file or folder that is to become an artifact, links followed. @throws UserError `path_not_allowed` */
  ownPath(path: string, places: 'temporary' | 'temporary or scratch'): string {
    const folders = [this.temporaryFolder, ...(places === 'temporary' ? [] : [this.context.scratchFolder])];
    const real = isAbsolute(path) ? realPath(path) : undefined;
    const around = folders.map((folder) => realPath(folder) ?? folder);
    if (real !== undefined && !around.includes(real) && around.some((folder) => isWithin(real, folder))) return real;
    throw new UserError(
      'path_not_allowed',
      `${JSON.stringify(path)} is not there, or not inside the stage's ${places} folder.`,
      { kind: 'runFailed', hint: `Write it below ${folders.join(' or ')}.` },
    );
  }
}

interface OpenReservation {
  readonly reservation: Reservation;
  readonly most: Spent;
  readonly settled: Promise<void>;
  isSettled(): void;
}

/** What a call spends: its reservations that are not settled yet. What is left of them when it is over cost its most. */
export class HostedSpending implements Disposable {
  readonly #spending: Spending;
  readonly #open = new Map<string, OpenReservation>();
  #isOver = false;

  constructor(spending: Spending) {
    this.#spending = spending;
  }

  /** @returns the reservation's id @throws UserError `budget_reached`, `price_missing` */
  async reserve(request: SpendingRequest): Promise<string> {
    const id = randomUUID();
    const reservation = await this.#spending.reserve(request);
    const { usd: most } = request;
    const { promise: settled, resolve: isSettled } = deferred<void>();
    this.#open.set(id, { reservation, most: most === undefined ? {} : { usd: most }, settled, isSettled });
    // Nobody was told of it.
    if (this.#isOver) this.settle(id, { usd: 0 });
    return id;
  }

  /** @throws UserError `reservation_unknown` */
  settle(id: string, spent: Spent): void {
    const open = this.#open.get(id);
    if (open === undefined) {
      throw new UserError('reservation_unknown', `There is no open reservation ${JSON.stringify(id)}.`, {
        kind: 'runFailed',
      });
    }
    this.#open.delete(id);
    open.isSettled();
    open.reservation.settle(spent);
  }

  /** Resolves when nothing that it pays for is waited for any more: all of it is settled, or dropped. */
  async whenPaid(): Promise<void> {
    await Promise.all(
      [...this.#open.values()].map(({ reservation: { dropped }, settled }) =>
        dropped === undefined ? undefined : Promise.race([settled, aborted(dropped)]),
      ),
    );
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    for (const [id, { most }] of [...this.#open]) this.settle(id, most);
  }
}

/** Events of a stage are the stage's own; others may only write lines of log, and some of them say how far they are. */
export async function sayAs(call: HostedCall, event: StageEvent): Promise<void> {
  if (call.log === undefined) throw notAllowed('This call may say nothing.');
  if (event.type === 'log.written') call.log[event.data.level](event.data.message);
  else if (event.type === 'stage.progressed' && call.emitProgress !== undefined) await call.emitProgress(event);
  else if (call.stage !== undefined) await call.stage.context.emit(event);
  else throw notAllowed(`Only a stage may say ${event.type}.`);
}

export function notAllowed(message: string): UserError {
  return new UserError('not_allowed', message, { kind: 'runFailed', hint: 'host.proto says who may ask for what.' });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(resolve(path));
  } catch {
    return undefined;
  }
}
