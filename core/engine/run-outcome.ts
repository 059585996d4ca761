import type { ErrorRecord } from '../errors.js';

/** The report of a run, in its folder. */
export const reportFile = 'report.html';

/** How a run ended, as far as this core took it. */
export type RunOutcome =
  | {
      readonly status: 'completed';
      /** Absolute path of report.html; null where no report was written. */
      readonly reportPath: string | null;
      readonly metrics: Readonly<Record<string, number>>;
      /** `stage.output` to artifact URI. */
      readonly outputs: Readonly<Record<string, string>>;
    }
  | {
      readonly status: 'failed';
      /** Its `kind` leads to the exit code: `environment` where the machine is at fault (no disk space). */
      readonly error: ErrorRecord;
      /** The one that failed, if it was one. */
      readonly stage?: string;
    }
  | {
      readonly status: 'interrupted';
      readonly reason: string;
      /** Which limit of the run's own stopped it; absent where somebody did. */
      readonly error?: ErrorRecord;
    };

/** A run that has a folder. */
export interface RunOfHome {
  readonly runId: string;
  readonly runFolder: string;
}

/** A run that was started or taken up. */
export interface RunHandle extends RunOfHome {
  /** Resolves when everything is closed and the lock is free; never rejects. */
  readonly finished: Promise<RunOutcome>;
  /**
   * Stops it gracefully; `resume` goes on. May be called twice; the first reason stands.
   * @param patienceSeconds how long replies that are paid for are waited for at most, also of one that is to stop already
   * @default as long as each may take
   */
  interrupt(reason: string, patienceSeconds?: number): void;
  /** Of one that is to stop: waits no longer for replies that are under way, though they are paid for. */
  dropReplies(): void;
}

/** A run as `simmer runs` lists it. */
export interface RunSummary {
  readonly runId: string;
  readonly recipe: string;
  /** What the command line changed in the recipe, in its words. */
  readonly changes?: readonly string[];
  /** The training stage that it inspects, where it was made for that. */
  readonly inspects?: string;
  /**
   * `crashed`: its log has no end, and no core that is alive holds it; or its log is damaged. `queued`: it waits for its
   * slots; only a server knows.
   */
  readonly status: 'queued' | 'running' | 'completed' | 'failed' | 'interrupted' | 'crashed';
  /** ISO 8601; when it was created. */
  readonly startedAt: string;
  readonly endedAt?: string;
  /** Absent where its log cannot be read, and where a server tells of it that is older than this. */
  readonly lastEventAt?: string;
  readonly runFolder: string;
  readonly events: number;
  readonly stagesDone: number;
  readonly stagesTotal: number;
}

/** What `simmer plan` says of a stage. Unknown until its inputs exist. */
export interface StagePreview {
  readonly stage: string;
  readonly key: string | null;
  readonly cache: 'hit' | 'miss' | 'unknown';
}
