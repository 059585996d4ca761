import type { Resources } from '../plugin/resources.js';
import { gpusHere } from '../trainer/gpu-devices.js';

/** What the machine has. */
export interface Capacity {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly gpus: number;
}

/** A stage as the scheduler sees it. */
export interface ScheduledStage {
  readonly name: string;
  /** Stages whose outputs it takes. */
  readonly dependsOn: readonly string[];
  /** What it takes while it runs, its trainers' share included. */
  readonly demand: Capacity;
  /** What only one stage at a time may hold: its trainers. */
  readonly exclusive: readonly string[];
}

export const resources = ['cpus', 'memoryBytes', 'gpus'] as const satisfies (keyof Capacity)[];

/**
 * What a stage and its trainers take together on this machine. A stage takes one core where it does not say.
 */
export function totalDemand(stage: Resources, trainers: readonly Resources[]): Capacity {
  const total = { cpus: stage.cpus ?? 1, memoryBytes: stage.memoryBytes ?? 0, gpus: gpusHere(stage) };
  for (const trainer of trainers) {
    total.cpus += trainer.cpus ?? 0;
    total.memoryBytes += trainer.memoryBytes ?? 0;
    total.gpus += gpusHere(trainer);
  }
  return total;
}

/**
 * Decides which stages run, in plan order, within the machine's slots. A stage goes through four hands:
 * `takeUnblocked` gives it out once its inputs are there; the caller either finds it in the cache (`complete`), or asks
 * for slots (`enqueue`); `takeStartable` gives it out with its slots taken; `complete` unblocks what depends on it and
 * `release` gives the slots back. One that has nothing to do for a while lends its slots out (`suspend`) until it asks
 * for them again (`enqueue`).
 *
 * Fair: a stage is overtaken only by one that takes nothing of what it is short of, so no stage waits for ever. A stage
 * that wants more cores or memory than the machine has runs alone. Stages that a former core left under way come first:
 * their trainers may still be at work for them.
 */
export class Scheduler {
  readonly #capacity: Capacity;
  readonly #order: readonly ScheduledStage[];
  readonly #completed: Set<string>;
  readonly #given: Set<string>;
  /** Given out by `takeUnblocked`; not known yet whether they need slots. */
  readonly #undecided = new Set<string>();
  readonly #waiting = new Set<string>();
  readonly #holding = new Map<string, ScheduledStage>();
  /** They have lent their slots out, and hold what only one may hold. */
  readonly #suspended = new Map<string, ScheduledStage>();

  /** @param completed stages that need not run @param underWay stages that a former core started and did not end */
  constructor(
    stages: readonly ScheduledStage[],
    capacity: Capacity,
    {
      completed = [],
      underWay = [],
    }: { readonly completed?: Iterable<string>; readonly underWay?: Iterable<string> } = {},
  ) {
    const first = new Set(underWay);
    this.#order = [...stages.filter(({ name }) => first.has(name)), ...stages.filter(({ name }) => !first.has(name))];
    this.#capacity = capacity;
    this.#completed = new Set(completed);
    this.#given = new Set(this.#completed);
  }

  /** Stages whose inputs have all come since the last call, in their order; each is given once. */
  takeUnblocked(): readonly string[] {
    const unblocked = this.#order.filter(
      (stage) => !this.#given.has(stage.name) && stage.dependsOn.every((name) => this.#completed.has(name)),
    );
    for (const { name } of unblocked) {
      this.#given.add(name);
      this.#undecided.add(name);
    }
    return unblocked.map((stage) => stage.name);
  }

  /** The stage has work to do: it waits for its slots. */
  enqueue(name: string): void {
    this.#undecided.delete(name);
    this.#waiting.add(name);
  }

  /** Stages that are to start now; their slots are taken. */
  takeStartable(): readonly string[] {
    const started: string[] = [];
    const contested = new Set<string>();
    const held = new HeldSlots(this.#capacity);
    for (const stage of this.#holding.values()) held.add(stage);
    for (const stage of this.#order) {
      // What it takes is its own until it is known, or whoever is looked at sooner would overtake it.
      if (this.#undecided.has(stage.name)) held.add(stage);
      if (!this.#waiting.has(stage.name)) continue;
      const shortOf = this.#shortOf(stage, held);
      if (shortOf.length === 0 && !takenBy(stage).some((resource) => contested.has(resource))) {
        this.#waiting.delete(stage.name);
        this.#suspended.delete(stage.name);
        this.#holding.set(stage.name, stage);
        held.add(stage);
        started.push(stage.name);
      } else {
        if (shortOf.includes(everything)) break;
        for (const resource of shortOf) contested.add(resource);
      }
    }
    return started;
  }

  /** The stage's outputs are there. */
  complete(name: string): void {
    this.#undecided.delete(name);
    this.#completed.add(name);
  }

  /** The stage has ended, well or badly: its slots are free. */
  release(name: string): void {
    this.#holding.delete(name);
    this.#suspended.delete(name);
    this.#waiting.delete(name);
  }

  /** The stage's cores, memory and GPUs are free for others; its trainers stay its own. */
  suspend(name: string): void {
    const stage = this.#holding.get(name);
    if (stage === undefined) return;
    this.#holding.delete(name);
    this.#suspended.set(name, stage);
  }

  get isDone(): boolean {
    return this.#order.every((stage) => this.#completed.has(stage.name));
  }

  /** Whether a stage that has not completed uses it. */
  isNeeded(exclusive: string): boolean {
    return this.#order.some((stage) => !this.#completed.has(stage.name) && stage.exclusive.includes(exclusive));
  }

  #shortOf(stage: ScheduledStage, held: HeldSlots): readonly string[] {
    const short = held.shortOf(stage);
    for (const name of stage.exclusive) {
      const isTaken = (other: ScheduledStage) => other !== stage && other.exclusive.includes(name);
      if (held.exclusive.has(name) || [...this.#suspended.values()].some(isTaken)) short.push(exclusiveResource(name));
    }
    return short;
  }
}

/** What stages hold together: summed up once, since recipes may have thousands of stages that wait. */
class HeldSlots {
  readonly exclusive = new Set<string>();
  readonly #capacity: Capacity;
  readonly #used = { cpus: 0, memoryBytes: 0, gpus: 0 };
  #isAny = false;
  #hasOneAlone = false;

  constructor(capacity: Capacity) {
    this.#capacity = capacity;
  }

  add({ demand, exclusive }: ScheduledStage): void {
    for (const resource of resources) this.#used[resource] += demand[resource];
    for (const name of exclusive) this.exclusive.add(name);
    this.#isAny = true;
    this.#hasOneAlone ||= this.#runsAlone(demand);
  }

  /** Resources of which too little is left for it. */
  shortOf({ demand }: ScheduledStage): string[] {
    if (!this.#isAny) return [];
    if (this.#hasOneAlone || this.#runsAlone(demand)) return [everything];
    return resources.filter(
      (resource) => demand[resource] > 0 && this.#used[resource] + demand[resource] > this.#capacity[resource],
    );
  }

  #runsAlone(demand: Capacity): boolean {
    return resources.some((resource) => demand[resource] > this.#capacity[resource]);
  }
}

/** What a stage that runs alone is short of while anything else runs. */
const everything = '*';

function exclusiveResource(name: string): string {
  return `exclusive ${name}`;
}

function takenBy(stage: ScheduledStage): readonly string[] {
  return [...resources.filter((resource) => stage.demand[resource] > 0), ...stage.exclusive.map(exclusiveResource)];
}
