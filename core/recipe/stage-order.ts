/** Stages in an order in which each comes after what it takes its inputs from, and the cycles that have no order. */
interface StageOrder {
  readonly order: readonly string[];
  /** Each as the names along it; the first one follows the last. */
  readonly cycles: readonly (readonly string[])[];
}

/** What a stage needs of the others, directly or through them, and itself. @param dependencies as for `orderStages` */
export function neededFor(stage: string, dependencies: ReadonlyMap<string, readonly string[]>): ReadonlySet<string> {
  const needed = new Set([stage]);
  // A set is walked to its end, also over what is added meanwhile.
  for (const name of needed) for (const input of dependencies.get(name) ?? []) needed.add(input);
  return needed;
}

/**
 * Orders stages: as they are written, but each after its inputs. The same graph gives the same order.
 *
 * @param dependencies stage to the stages that it takes inputs from; names that are no stage are passed over
 */
export function orderStages(dependencies: ReadonlyMap<string, readonly string[]>): StageOrder {
  const order: string[] = [];
  const cycles: string[][] = [];
  const finished = new Set<string>();
  for (const start of dependencies.keys()) {
    // Depth-first with a stack of our own: a chain of stages may be longer than the call stack is deep.
    const trail: string[] = [];
    const onTrail = new Set<string>();
    const waiting: { readonly stage: string; readonly isLeaving: boolean }[] = [{ stage: start, isLeaving: false }];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { stage, isLeaving } = next;
      if (isLeaving) {
        trail.pop();
        onTrail.delete(stage);
        finished.add(stage);
        order.push(stage);
      } else if (onTrail.has(stage)) {
        cycles.push(trail.slice(trail.indexOf(stage)));
      } else if (!finished.has(stage) && dependencies.has(stage)) {
        trail.push(stage);
        onTrail.add(stage);
        waiting.push({ stage, isLeaving: true });
        const inputs = [...new Set(dependencies.get(stage))].reverse();
        for (const input of inputs) waiting.push({ stage: input, isLeaving: false });
      }
    }
  }
  return { order, cycles };
}
