import { type Capacity, resources } from '../engine/scheduler.js';

interface Place {
  readonly id: string;
  readonly claim: Capacity;
  start(): void;
}

/**
 * Who may use the machine, and who waits. First come, first served, but for those who take nothing of what the ones
 * before them are short of: a small run goes by one that waits for a GPU, and nobody waits for ever.
 */
export class SlotQueue {
  readonly capacity: Capacity;
  readonly #waiting = new Map<string, Place>();
  readonly #holding = new Map<string, Place>();
  #isPaused = false;

  constructor(capacity: Capacity) {
    this.capacity = capacity;
  }

  /**
   * Puts somebody at the end of the queue. What is claimed beyond the machine's cores or memory counts as all of them.
   * @param start called once, when the slots are taken; perhaps before this returns
   */
  enqueue(id: string, claim: Capacity, start: () => void): void {
    if (this.has(id)) throw new Error(`${id} is in the queue already.`);
    const within = Object.fromEntries(resources.map((name) => [name, Math.min(claim[name], this.capacity[name])]));
    this.#waiting.set(id, { id, claim: within as unknown as Capacity, start });
    this.#startWhatFits();
  }

  /** Takes somebody who waits out of the queue. @returns false for one who does not wait */
  withdraw(id: string): boolean {
    const waited = this.#waiting.delete(id);
    if (waited) this.#startWhatFits();
    return waited;
  }

  /** Gives back what somebody holds, and starts who can start then. */
  release(id: string): void {
    if (this.#holding.delete(id)) this.#startWhatFits();
  }

  /** Starts nobody any more. */
  pause(): void {
    this.#isPaused = true;
  }

  has(id: string): boolean {
    return this.#waiting.has(id) || this.#holding.has(id);
  }

  get waiting(): readonly string[] {
    return [...this.#waiting.keys()];
  }

  get holding(): readonly string[] {
    return [...this.#holding.keys()];
  }

  get claimed(): Capacity {
    const sum = (name: keyof Capacity) => [...this.#holding.values()].reduce((all, { claim }) => all + claim[name], 0);
    return { cpus: sum('cpus'), memoryBytes: sum('memoryBytes'), gpus: sum('gpus') };
  }

  /** What somebody claims, who waits or holds it. */
  claimOf(id: string): Capacity | undefined {
    return (this.#waiting.get(id) ?? this.#holding.get(id))?.claim;
  }

  /** Where somebody is in the queue, from 1, and what they are short of. Undefined for one who does not wait. */
  placeOf(id: string): { readonly position: number; readonly waitsFor: readonly (keyof Capacity)[] } | undefined {
    const place = this.#waiting.get(id);
    return place && { position: this.waiting.indexOf(id) + 1, waitsFor: this.#shortOf(place) };
  }

  #startWhatFits(): void {
    if (this.#isPaused) return;
    const contested = new Set<keyof Capacity>();
    for (const place of [...this.#waiting.values()]) {
      const shortOf = this.#shortOf(place);
      const takesContested = resources.some((name) => place.claim[name] > 0 && contested.has(name));
      if (shortOf.length > 0 || takesContested) {
        for (const name of shortOf) contested.add(name);
        continue;
      }
      this.#waiting.delete(place.id);
      this.#holding.set(place.id, place);
      place.start();
    }
  }

  #shortOf({ claim }: Place): readonly (keyof Capacity)[] {
    const { claimed } = this;
    return resources.filter((name) => claim[name] > 0 && claimed[name] + claim[name] > this.capacity[name]);
  }
}
