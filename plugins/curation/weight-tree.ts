/**
 * Weights of items in their order, with sums of them as a Fenwick tree has them: to find where a place among them falls,
 * and to take an item out, takes the logarithm of their number.
 */
export class WeightTree {
  /** The number at an index, from 1, is the sum of so many weights up to it as its lowest bit says. */
  private readonly sums: Float64Array;
  private left: number;

  /** @param weights whole numbers, at least 0 */
  constructor(private readonly weights: number[]) {
    this.sums = new Float64Array(weights.length + 1);
    for (const [at, weight] of weights.entries()) {
      const index = at + 1;
      this.sums[index] = (this.sums[index] as number) + weight;
      const next = index + (index & -index);
      if (next < this.sums.length) this.sums[next] = (this.sums[next] as number) + (this.sums[index] as number);
    }
    this.left = weights.reduce((total, weight) => total + weight, 0);
  }

  /** Of the items that are left. */
  get total(): number {
    return this.left;
  }

  /** @param place from 0, below the total @returns the item whose weight and those before it are the first to be more */
  find(place: number): number {
    let at = 0;
    let rest = place;
    for (let step = 2 ** Math.floor(Math.log2(this.weights.length)); step >= 1; step /= 2) {
      const sum = this.sums[at + step];
      if (sum === undefined || sum > rest) continue;
      at += step;
      rest -= sum;
    }
    return at;
  }

  takeOut(at: number): void {
    const weight = this.weights[at] as number;
    this.weights[at] = 0;
    this.left -= weight;
    for (let index = at + 1; index < this.sums.length; index += index & -index)
      this.sums[index] = (this.sums[index] as number) - weight;
  }
}
