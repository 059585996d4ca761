import type { EventDraft } from '../../core/events/catalogue.js';
import type { Burst } from './log-script.js';
import { fingerprint, tortureRunId } from './log-script-run.js';

/** What was found wrong, over all that was done. */
export class Damage {
  lost = 0;
  duplicated = 0;
  reordered = 0;
  torn = 0;
  /** What else should not have happened, in words. */
  readonly violations: string[] = [];

  get isNone(): boolean {
    return this.lost + this.duplicated + this.reordered + this.violations.length === 0;
  }

  violation(where: string, what: string): void {
    this.violations.push(`${where}: ${what}`);
  }
}

/**
 * Holds against a run's log what its writers were promised. It reads the file by itself, without the code under test, and
 * knows the script: the event at index i may only be the one with the sequence i + 1.
 */
export class Witness {
  readonly #drafts: readonly EventDraft[];
  /** By sequence; undefined where it was promised without saying what the event is. */
  readonly #acknowledged = new Map<number, string | undefined>();
  #lastSeen = 0;

  constructor(bursts: readonly Burst[]) {
    this.#drafts = bursts.flatMap(({ drafts }) => drafts);
  }

  get acknowledgements(): number {
    return this.#acknowledged.size;
  }

  /** A writer was promised that an event is durable. */
  acknowledged(sequence: number, print: string, damage: Damage, where: string): void {
    const before = this.#acknowledged.get(sequence);
    if (before !== undefined && before !== print) damage.violation(where, `${sequence} was acknowledged as two events`);
    this.#acknowledged.set(sequence, print);
  }

  /** A subscriber got an event: that is a promise as well, and they come in order. */
  seen(sequence: number, print: string, damage: Damage, where: string): void {
    if (sequence !== this.#lastSeen + 1) damage.reordered += 1;
    this.#lastSeen = sequence;
    this.acknowledged(sequence, print, damage, where);
  }

  /** Another writer took the run up, and builds on all that it found: a promise as well. */
  opened(lastSequence: number, damage: Damage, where: string): void {
    this.#lastSeen = lastSequence;
    for (const sequence of this.#acknowledged.keys()) {
      if (sequence > lastSequence)
        damage.violation(where, `opened at ${lastSequence}, but ${sequence} was acknowledged`);
    }
  }

  /** Compares the bytes of the log. @param isComplete whether it must hold the whole script */
  check(bytes: Buffer, damage: Damage, isComplete: boolean): void {
    const lines = bytes.toString('utf8').split('\n');
    const isTorn = lines.pop() !== '' || lines.some((line) => line.includes('\0'));
    if (isTorn) damage.torn += 1;
    if (isComplete && isTorn) damage.violations.push('a complete log ends in a torn line');
    const found = new Map<number, string>();
    let last = 0;
    for (const line of lines) {
      if (line.includes('\0')) break;
      const event = parse(line);
      if (event === undefined) {
        damage.violations.push(`a whole line is not an event: ${line.slice(0, 80)}`);
        continue;
      }
      if (found.has(event.sequence)) damage.duplicated += 1;
      else if (event.sequence !== last + 1 || !this.#isScripted(event)) damage.reordered += 1;
      found.set(event.sequence, fingerprint(event));
      last = event.sequence;
    }
    for (const [sequence, print] of this.#acknowledged) {
      const isThere = print === undefined ? found.has(sequence) : found.get(sequence) === print;
      if (!isThere) damage.lost += 1;
    }
    if (isComplete && found.size !== this.#drafts.length) {
      damage.violations.push(`a complete log has ${found.size} of ${this.#drafts.length} events`);
    }
  }

  /** The same promises, for another copy of the log. */
  copy(): Witness {
    const copy = new Witness([{ drafts: this.#drafts, waits: true }]);
    for (const [sequence, print] of this.#acknowledged) copy.#acknowledged.set(sequence, print);
    return copy;
  }

  #isScripted(event: LoggedEvent): boolean {
    const draft = this.#drafts[event.sequence - 1];
    if (draft === undefined || event.runId !== tortureRunId || event.type !== draft.type) return false;
    return JSON.stringify(event.data) === JSON.stringify(draft.data);
  }
}

interface LoggedEvent {
  readonly runId: string;
  readonly sequence: number;
  readonly type: string;
  readonly data: object;
}

function parse(line: string): LoggedEvent | undefined {
  try {
    return JSON.parse(line) as LoggedEvent;
  } catch {
    return undefined;
  }
}
