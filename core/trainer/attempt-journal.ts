import { mkdir, open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { unlessMissing } from '../files/unless-missing.js';
import type { ProcessIdentity } from '../process/process-identity.js';
import type { TrainingEnd } from './wire-to-domain.js';

/** What must be known of an attempt before it starts. */
interface AttemptStart {
  readonly attemptId: string;
  /** In its job, from 1. */
  readonly ordinal: number;
  readonly runId: string;
  /** The process that has it, and how to reach it. */
  readonly trainer: ProcessIdentity & { readonly address: string; readonly token?: string };
}

/** How it ended: as the trainer said, or `lost` where the trainer cannot say any more. */
type AttemptEnd =
  | (Extract<TrainingEnd, { kind: 'completed' }> & { readonly files: Readonly<Record<string, number>> })
  | { readonly kind: 'canceled' | 'failed' | 'lost' };

export interface Attempt extends AttemptStart {
  readonly end?: AttemptEnd;
}

type Line = { readonly format: 1 } & (
  | ({ readonly type: 'started' } & AttemptStart)
  | { readonly type: 'ended'; readonly attemptId: string; readonly end: AttemptEnd }
);

/**
 * `attempts.jsonl` of one training job: which attempts there were, over all runs of the stage. Each line is durable
 * before what it tells of is done.
 */
export class AttemptJournal {
  private constructor(
    private readonly file: string,
    private readonly attempts: Map<string, Attempt>,
  ) {}

  static async open(folder: string): Promise<AttemptJournal> {
    await mkdir(folder, { recursive: true });
    const file = join(folder, 'attempts.jsonl');
    const attempts = new Map<string, Attempt>();
    for (const line of await readLines(file)) {
      if (line.type === 'started') attempts.set(line.attemptId, line);
      else {
        const attempt = attempts.get(line.attemptId);
        if (attempt !== undefined) attempts.set(line.attemptId, { ...attempt, end: line.end });
      }
    }
    return new AttemptJournal(file, attempts);
  }

  get last(): Attempt | undefined {
    return [...this.attempts.values()].at(-1);
  }

  async started(start: AttemptStart): Promise<void> {
    await this.append({ format: 1, type: 'started', ...start });
    this.attempts.set(start.attemptId, start);
  }

  async ended(attemptId: string, end: AttemptEnd): Promise<void> {
    const attempt = this.attempts.get(attemptId);
    if (attempt === undefined || attempt.end !== undefined) return;
    await this.append({ format: 1, type: 'ended', attemptId, end });
    this.attempts.set(attemptId, { ...attempt, end });
  }

  private async append(line: Line): Promise<void> {
    await using handle = await open(this.file, 'a', 0o600);
    // A line that a kill cut short is closed first, so that it spoils only itself.
    const { size } = await handle.stat();
    await handle.write(`${size === 0 ? '' : '\n'}${JSON.stringify(line)}`);
    await handle.sync();
  }
}

async function readLines(file: string): Promise<readonly Line[]> {
  const text = (await readFile(file, 'utf8').catch(unlessMissing)) ?? '';
  return text.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line) as Line];
    } catch {
      return [];
    }
  });
}

/** File names in a folder, with their sizes: enough to see that a model folder is still all there. */
export async function filesOf(folder: string): Promise<Readonly<Record<string, number>>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files: Record<string, number> = {};
  for (const entry of entries.filter((item) => item.isFile())) {
    const path = join(entry.parentPath, entry.name);
    files[path.slice(folder.length + 1)] = (await stat(path)).size;
  }
  return files;
}

/** Whether a folder still has these files. */
export async function hasFiles(folder: string, files: Readonly<Record<string, number>>): Promise<boolean> {
  try {
    const found = await filesOf(folder);
    return Object.entries(files).every(([path, size]) => found[path] === size);
  } catch {
    return false;
  }
}
