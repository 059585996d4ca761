import { deferred } from '../deferred.js';

/** Takes names out of everybody's reach while nobody holds them. Its disposal lets those go on who wait for what it took. */
interface Taking extends Disposable {
  /** Of some names, those that nobody has held since this began: from now on who wants to hold them waits. */
  take(names: readonly string[]): ReadonlySet<string>;
}

/**
 * What the runs of this process have found, or made, and not told in their logs yet: artifacts by their URIs, stages by
 * their keys. Whoever removes something reads in the logs what is used, and asks here for the rest.
 */
export class Holds {
  /** How many hold a name. */
  readonly #held = new Map<string, number>();
  readonly #takings = new Set<{
    readonly held: Set<string>;
    readonly taken: Set<string>;
    readonly ended: Promise<void>;
  }>();

  /**
   * Keeps names from being taken until disposal. Of what was taken just now it is decided when this resolves: look only then
   * whether it is there.
   */
  async hold(names: readonly string[]): Promise<Disposable> {
    for (const name of names) this.#held.set(name, (this.#held.get(name) ?? 0) + 1);
    for (const { held, taken } of this.#takings) for (const name of names) if (!taken.has(name)) held.add(name);
    const taken = [...this.#takings].filter((taking) => names.some((name) => taking.taken.has(name)));
    await Promise.all(taken.map(({ ended }) => ended));
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        for (const name of isHeld ? names : []) this.#letGo(name);
        isHeld = false;
      },
    };
  }

  /** Begins to note who holds what: before the logs are read, since what is told there may be let go meanwhile. */
  beginTaking(): Taking {
    const { promise: ended, resolve: end } = deferred<void>();
    const taking = { held: new Set(this.#held.keys()), taken: new Set<string>(), ended };
    this.#takings.add(taking);
    return {
      take: (names) => {
        const free = names.filter((name) => !taking.held.has(name));
        for (const name of free) taking.taken.add(name);
        return new Set(free);
      },
      [Symbol.dispose]: () => {
        this.#takings.delete(taking);
        end();
      },
    };
  }

  #letGo(name: string): void {
    const others = (this.#held.get(name) ?? 1) - 1;
    if (others === 0) this.#held.delete(name);
    else this.#held.set(name, others);
  }
}
