import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sameWriteMark } from '../../core/events/event-line.js';
import { type Random, random } from '../../core/random.js';
import { finishRun } from './log-finish.js';
import { injectIoFaults } from './log-io-faults.js';
import { type Death, readLogBytes, runWriter, type WriterEnd } from './log-kills.js';
import { afterPowerCut, resumeAfterPowerCut } from './log-power-cuts.js';
import { runScript } from './log-script.js';
import { Damage, Witness } from './log-witness.js';

/** Sizes of the whole torture, and of the one that CI has time for. */
const sizes = {
  full: { boundarySteps: 60, momentSteps: 120, faultSteps: 40, moments: 1000 },
  short: { boundarySteps: 4, momentSteps: 60, faultSteps: 4, moments: 40 },
};
/** Of the time that a run takes to write, so that kills fall on all of it. */
const longestMomentMilliseconds = 60;
const lanes = 2;

/** `torture -- log [--short] [--seed N]`. The last line on stdout is the result as JSON. @returns the exit code */
export async function tortureLog(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { short: { type: 'boolean', default: false }, seed: { type: 'string', default: String(Date.now()) } },
  });
  const torture = new LogTorture(await mkdtemp(join(tmpdir(), 'simmer-torture-')), Number(values.seed));
  console.error(`seed ${values.seed}`);
  try {
    return await torture.run(values.short ? sizes.short : sizes.full);
  } finally {
    await rm(torture.folder, { recursive: true, force: true });
  }
}

class LogTorture {
  readonly folder: string;
  readonly #seed: number;
  readonly #damage = new Damage();
  readonly #startedAt = performance.now();
  #kills = 0;
  #powerCuts = 0;
  #ioFaults = 0;
  #files = 0;

  constructor(folder: string, seed: number) {
    this.folder = folder;
    this.#seed = seed;
  }

  async run(size: typeof sizes.full): Promise<number> {
    const boundaries = new BoundaryCount();
    await this.#inLanes((lane) => this.#killAtBoundaries(size.boundarySteps, lane, boundaries));
    this.#report(`killed at ${boundaries.total} write boundaries: ${boundaries}`);
    await this.#killWhileOpening(size.boundarySteps);
    this.#report('killed while a torn log was taken up');
    const kills = { left: size.moments };
    await this.#inLanes((lane) => this.#killAtMoments(size.momentSteps, lane, kills));
    this.#report(`killed at ${size.moments} random moments`);
    await this.#injectFaults(size.faultSteps);
    this.#report(`injected ${this.#ioFaults} faults`);
    for (const violation of this.#damage.violations.slice(0, 20)) console.error(`wrong: ${violation}`);
    const { lost, duplicated, reordered, torn } = this.#damage;
    console.log(
      JSON.stringify({
        kills: this.#kills,
        powerCuts: this.#powerCuts,
        ioFaults: this.#ioFaults,
        lost,
        duplicated,
        reordered,
        torn,
      }),
    );
    return this.#damage.isNone ? 0 : 1;
  }

  /** A run from its beginning for each boundary there is; this process then takes it up and ends it. */
  async #killAtBoundaries(steps: number, lane: number, boundaries: BoundaryCount): Promise<void> {
    const choose = random(this.#seed, `boundaries ${lane}`);
    for (let ordinal = lane + 1; ; ordinal += lanes) {
      const run = this.#newRun(steps, this.#seed);
      const end = await this.#kill(run, { kind: 'boundary', ordinal }, choose);
      if (end.wasKilled) boundaries.add(end.boundary ?? '');
      await this.#finish(run);
      if (!end.wasKilled) return;
    }
  }

  /** The boundaries of taking up a log with a torn last line, up to its first write. */
  async #killWhileOpening(steps: number): Promise<void> {
    const choose = random(this.#seed, 'opening');
    const whole = this.#newRun(steps, this.#seed);
    await runWriter(whole, { kind: 'never' }, whole.witness, this.#damage);
    const { torn, syncedBytes } = tornInWrite(await readLogBytes(whole.file));
    for (let ordinal = 1; ; ordinal += 1) {
      const run = this.#newRun(steps, this.#seed);
      run.durable = { syncedBytes, isNamed: true };
      await writeFile(run.file, torn);
      const end = await this.#kill(run, { kind: 'boundary', ordinal }, choose);
      await this.#finish(run);
      if (!end.wasKilled || end.boundary === 'before write') return;
    }
  }

  /** Runs that are killed again and again, each until it has ended. */
  async #killAtMoments(steps: number, lane: number, kills: { left: number }): Promise<void> {
    const choose = random(this.#seed, `moments ${lane}`);
    for (let ordinal = lane; kills.left > 0; ordinal += lanes) {
      const run = this.#newRun(steps, this.#seed + ordinal);
      for (let wasKilled = true; wasKilled && kills.left > 0; ) {
        kills.left -= 1;
        const afterMilliseconds = choose.next() * longestMomentMilliseconds;
        ({ wasKilled } = await this.#kill(run, { kind: 'moment', afterMilliseconds }, choose));
        // A writer that was quicker than its killer does not count.
        if (!wasKilled) kills.left += 1;
      }
      await this.#finish(run);
    }
  }

  async #kill(run: TorturedRun, death: Death, choose: Random): Promise<WriterEnd> {
    const end = await runWriter(run, death, run.witness, this.#damage);
    run.durable = {
      syncedBytes: end.syncedBytes ?? run.durable.syncedBytes,
      isNamed: end.isNamed || run.durable.isNamed,
    };
    const bytes = await readLogBytes(run.file);
    if (end.wasKilled) {
      this.#kills += 1;
      run.witness.check(bytes, this.#damage, false);
      for (const disk of afterPowerCut({ bytes, ...run.durable }, choose)) {
        this.#powerCuts += 1;
        await resumeAfterPowerCut(`${run.file}.cut`, disk, run.bursts, run.witness, this.#damage, choose);
      }
    }
    return end;
  }

  /** Takes the run up, in this process and undisturbed, to its end: there everything must be, once and in order. */
  async #finish(run: TorturedRun): Promise<void> {
    await finishRun(run, run.witness, this.#damage, 'the run taken up to its end');
    if (run.witness.acknowledgements === 0) this.#damage.violation(run.file, 'the witness heard of no acknowledgement');
    await rm(run.file);
  }

  async #injectFaults(steps: number): Promise<void> {
    const bursts = runScript(this.#seed, steps);
    const whole = this.#newRun(steps, this.#seed);
    await runWriter(whole, { kind: 'never' }, whole.witness, this.#damage);
    const bytes = await readLogBytes(whole.file);
    const torn = bytes.subarray(0, bytes.indexOf('\n', bytes.length / 3) + 40);
    for (const [index, initial] of [Buffer.alloc(0), torn].entries()) {
      await injectIoFaults({
        file: join(this.folder, `faulty-${index}.jsonl`),
        bursts,
        initial,
        damage: this.#damage,
        onFault: () => {
          this.#ioFaults += 1;
        },
      });
    }
  }

  #newRun(steps: number, seed: number): TorturedRun {
    this.#files += 1;
    const bursts = runScript(seed, steps);
    return {
      file: join(this.folder, `${this.#files}.jsonl`),
      seed,
      steps,
      bursts,
      witness: new Witness(bursts),
      durable: { syncedBytes: 0, isNamed: false },
    };
  }

  async #inLanes(work: (lane: number) => Promise<void>): Promise<void> {
    await Promise.all(Array.from({ length: lanes }, (_, lane) => work(lane)));
  }

  #report(what: string): void {
    console.error(`${((performance.now() - this.#startedAt) / 1000).toFixed(1)} s: ${what}`);
  }
}

/**
 * A log whose writer died in a write of several lines: two are whole and the third is not, and none was synced. The next
 * writer may keep the two, but may not build on them before they are on the disk.
 */
function tornInWrite(log: Buffer): { readonly torn: Buffer; readonly syncedBytes: number } {
  let syncedBytes = 0;
  const lines = log.toString('utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    const [second = '', third = ''] = lines.slice(index + 1, index + 3);
    const length = Buffer.byteLength(`${line}\n${second}\n`);
    if (second.startsWith(sameWriteMark) && third.startsWith(sameWriteMark)) {
      return { torn: log.subarray(0, syncedBytes + length + third.length / 2), syncedBytes };
    }
    syncedBytes += Buffer.byteLength(line) + 1;
  }
  throw new Error('the run made no write of three lines');
}

interface TorturedRun {
  readonly file: string;
  readonly seed: number;
  readonly steps: number;
  readonly bursts: ReturnType<typeof runScript>;
  readonly witness: Witness;
  /** What is sure to be on the disk, whoever wrote it. */
  durable: { readonly syncedBytes: number; readonly isNamed: boolean };
}

/** How often a writer died at which kind of boundary. */
class BoundaryCount {
  readonly #counts = new Map<string, number>();

  add(boundary: string): void {
    this.#counts.set(boundary, (this.#counts.get(boundary) ?? 0) + 1);
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  toString(): string {
    return [...this.#counts].map(([name, count]) => `${name} ${count}`).join(', ');
  }
}
