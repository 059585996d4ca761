import type { EventData } from 'simmerkit';

type Step = EventData['step.logged'];

/**
 * The steps of a training, at most so many, evenly spread over it: a million take no more memory, and are drawn no finer,
 * than some thousands. What a step said when it ran last counts.
 */
export class KeptSteps {
  readonly #most: number;
  readonly #steps = new Map<number, Step>();
  /** Steps whose number this divides are kept. */
  #every = 1;

  /** @param most steps that are kept */
  constructor(most = 4096) {
    this.#most = most;
  }

  add(step: Step): void {
    if (step.step % this.#every !== 0) return;
    this.#steps.set(step.step, step);
    if (this.#steps.size <= this.#most) return;
    this.#every *= 2;
    for (const number of this.#steps.keys()) if (number % this.#every !== 0) this.#steps.delete(number);
  }

  /** In the order of their numbers. */
  inOrder(): readonly Step[] {
    return [...this.#steps.values()].sort((left, right) => left.step - right.step);
  }
}
