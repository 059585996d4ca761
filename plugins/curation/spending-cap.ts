import { UserError } from 'simmerkit';

/** Holds what requests cost below a cap: each reserves the most that it can cost, and gives back what it did not. */
export class SpendingCap {
  private reserved = 0;
  private inFlight = 0;
  private waiting: (() => void)[] = [];

  /** @param spent before, by earlier attempts */
  constructor(
    private readonly cap: number,
    private spent: number,
  ) {}

  /**
   * Makes a request that may cost so much, once there is room for it. Calls `pay` with what it cost, or throws.
   * @throws UserError `spending_cap_reached`
   */
  async within<T>(most: number, request: (pay: (dollars: number) => void) => Promise<T>): Promise<T> {
    while (this.spent + this.reserved + most > this.cap) {
      if (this.inFlight === 0) throw this.reached(most);
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    this.reserved += most;
    this.inFlight += 1;
    let cost = most;
    try {
      return await request((dollars) => {
        cost = dollars;
      });
    } finally {
      this.inFlight -= 1;
      this.reserved -= most;
      this.spent += cost;
      for (const wake of this.waiting.splice(0)) wake();
    }
  }

  private reached(most: number): UserError {
    const spent = this.spent.toFixed(4);
    return new UserError(
      'spending_cap_reached',
      `The model has cost $${spent} of at most $${this.cap}, and the next question may cost up to $${most.toFixed(4)}.`,
      {
        kind: 'runFailed',
        // Another maxTokens makes another stage key, and so asks for all of it again.
        hint:
          'Raise `maxDollars` in the recipe, leave its other options, and `simmer run` again: what is answered is kept and ' +
          'not asked for again. `simmer resume` would go on with the cap of now.',
      },
    );
  }
}
