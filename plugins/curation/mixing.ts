import { random } from 'simmerkit';

export interface MixingOptions {
  readonly seed: number;
  /** Draws in all. Default: as many as there are. */
  readonly count?: number | undefined;
  readonly whenEmpty: 'skip' | 'stop' | 'repeat';
  readonly order: 'drawn' | 'even';
}

/**
 * Which dataset each row of a mix comes from, one after the other.
 *
 * drawn: by chance, with the weights as shares. even: the dataset that lags furthest behind its share, which needs no
 * chance and has every share right at any length. A dataset that is empty from the beginning is never drawn.
 * @param sizes rows of each dataset
 */
export function* drawSources(
  sizes: readonly number[],
  weights: readonly number[],
  options: MixingOptions,
): Iterable<number> {
  const stream = random(options.seed, 'mix');
  const left = [...sizes];
  const taken = sizes.map(() => 0);
  let open = sizes.map((_, index) => index).filter((index) => sizes[index]! > 0 && weights[index]! > 0);
  for (let draw = 0; draw < (options.count ?? Number.POSITIVE_INFINITY) && open.length > 0; draw++) {
    const total = open.reduce((sum, index) => sum + weights[index]!, 0);
    const source = options.order === 'even' ? mostBehind() : drawn(total);
    if (left[source] === 0) {
      // With `repeat` it begins again. With `skip` it was taken out when its last row went.
      if (options.whenEmpty === 'stop') return;
      left[source] = sizes[source]!;
    }
    left[source]! -= 1;
    taken[source]! += 1;
    yield source;
    if (left[source] === 0 && options.whenEmpty === 'skip') open = open.filter((index) => index !== source);
  }

  function drawn(total: number): number {
    let rest = stream.next() * total;
    for (const index of open) {
      rest -= weights[index]!;
      if (rest < 0) return index;
    }
    return open.at(-1)!;
  }

  function mostBehind(): number {
    const due = (index: number) => (taken[index]! + 1) / weights[index]!;
    return open.reduce((best, index) => (due(index) < due(best) ? index : best));
  }
}
